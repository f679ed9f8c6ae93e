"""`Counts`: what a model asks for, by part, kind or operator, with or without a machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.analysis.convention import Convention, Mask, convention_named
from inferstack.analysis.workload import Workload, analyze, check_mask
from inferstack.api.arguments import chosen
from inferstack.api.choices import ElementType, Group
from inferstack.api.shown import Record, Shown
from inferstack.core.dtypes import DType
from inferstack.models.layers import LayerSet
from inferstack.report import analysis as report

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inferstack.api.machine import Machine
    from inferstack.report.analysis import Row

ROOFLINE_MACHINE = "survey-analytic"
"""Whose roof is drawn where no machine is named."""


class Counts(Shown):
    """FLOPs, bytes, intensity and memory of a model, for one or several sizes.

    `by` says what a row is. `notes` says what a reader should know.
    """

    __slots__ = ("_by", "_machine", "_rows", "notes")

    def __init__(
        self, rows: Sequence[Row], by: Group, machine: Machine | None, notes: tuple[str, ...]
    ) -> None:
        self._rows, self._by, self._machine, self.notes = tuple(rows), by, machine, notes

    def by(self, group: str | Group) -> Counts:
        """The same counts with a row per part, kind or operator."""
        return Counts(
            self._rows, chosen("--by", group, Group, "grouping"), self._machine, self.notes
        )

    @property
    def flops(self) -> int:
        """Operations of the first size, a multiply-accumulate counted as two."""
        return self._rows[0][0].total.flops

    @property
    def traffic_bytes(self) -> int:
        """Bytes that the first size moves with ideal reuse, each operator by itself."""
        return self._rows[0][0].total.traffic_bytes

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights."""
        return self._rows[0][0].footprint.weight_bytes

    def table(self) -> RenderableType:
        """Counts and what must be in memory, for rich."""
        return report.to_tables(self._rows, self._by.value)

    def to_dict(self) -> Record:
        """Everything, every operator included."""
        return report.to_json(self._rows)

    def to_csv(self) -> str:
        """A line per row of the table."""
        return report.to_csv(self._rows, self._by.value)

    def records(self) -> list[Record]:
        """A row per size and part, kind or operator."""
        return report.to_records(self._rows, self._by.value)

    def figure(self) -> Any:
        """The roofline as a figure of plotly, on the machine of the counts."""
        from inferstack.report.roofline import roofline_figure

        return roofline_figure(self._rooflines())

    def save_roofline(self, path: str | Path, flag: str = "path") -> Path:
        """Writes the roofline as a page that needs no network. Raises InputError."""
        from inferstack.report.roofline import write_roofline

        first = self._rows[0][0]
        title = f"{first.workload.model.name}, {first.workload.task}"
        write_roofline(Path(path), title, first.convention.summary, self._rooflines(), flag)
        return Path(path)

    @property
    def roofline_machine(self) -> str:
        """The machine whose roof is drawn."""
        return self._machine.name if self._machine is not None else ROOFLINE_MACHINE

    def _rooflines(self) -> list[tuple[str, Any]]:
        from inferstack.analysis.roofline import roofline
        from inferstack.api.machine import machine_of
        from inferstack.cost.analytic import roof_of

        roof = roof_of(machine_of(self._machine or ROOFLINE_MACHINE).accelerator)
        return [
            (report.size_of(one), roofline(report.GROUPS[self._by.value](one.operators), roof))
            for one, _ in self._rows
        ]


def count(
    asked: Sequence[Workload],
    convention: str,
    dtype: str | None,
    by: str,
    machine: Machine | None,
    mask: str | None = None,
) -> Counts:
    """The counts of workloads. Raises UnknownNameError and InputError."""
    pairs = None if mask is None else chosen("--mask", mask, Mask, "mask")
    check_mask(asked[0].model, pairs)
    said = asked[0].model.weights
    element, stored, source = None, None, "by default"
    if dtype is not None:
        element, source = (
            DType(chosen("--dtype", dtype, ElementType, "element type").value),
            "as asked",
        )
    elif convention == "exact" and machine is not None:
        # All machines here compute in 8 bits; other bytes beside their times would mislead.
        element, source = DType.INT8, f"as {machine.name} computes"
    elif convention == "exact" and said is not None:
        element, stored, source = said.element, said.stored, said.source
    counted = convention_named(
        str(convention),
        element,
        mask=pairs or (Mask.CAUSAL if convention == "exact" else None),
        stored=stored,
        source=source,
    )
    rows = [_row(workload, counted, machine) for workload in asked]
    return Counts(
        rows, chosen("--by", by, Group, "grouping"), machine, (*_read_as(asked), *_stretched(asked))
    )


def _row(workload: Workload, counted: Convention, machine: Machine | None) -> Row:
    analysis = analyze(workload, counted)
    if machine is None:
        return analysis, None
    from inferstack.cost.analytic import roof_of
    from inferstack.cost.least import workload_times

    accelerator = machine.accelerator
    on = report.OnMachine(
        roof=roof_of(accelerator),
        costs=workload_times(workload, accelerator, counted),
        clock_hz=accelerator.clock_hz,
    )
    return analysis, on


def _read_as(asked: Sequence[Workload]) -> tuple[str, ...]:
    model = asked[0].model
    if isinstance(model.config, LayerSet):
        return (f"layers read as {model.config.read_as}",)
    beside = ", ".join(getattr(model.config, "unread", ()))
    if beside:
        return (f"{model.name}: the text is counted; {beside} is not read",)
    notes: tuple[str, ...] = getattr(model.config, "notes", ())
    return notes


def _stretched(asked: Sequence[Workload]) -> tuple[str, ...]:
    longest = asked[0].longest_sequence
    beyond = [f"{w.tokens:,}" for w in asked if longest is not None and w.tokens > longest]
    if not beyond:
        return ()
    name = asked[0].model.name
    lengths = ", ".join(beyond)
    return (f"{name} has positions for {longest:,} tokens; counted as if for {lengths} too",)
