"""`Plan`: the proven best schedules of a whole model, and what is fused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.api.machine import Machine
from inferstack.api.schedule import Schedule
from inferstack.api.shown import Record, Shown
from inferstack.core.errors import InputError, UnknownNameError
from inferstack.core.infeasible import DoesNotFitError, Infeasible
from inferstack.core.progress import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inferstack.ir.graph import Graph
    from inferstack.schedule.plan import ModelPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How schedules are searched; see `Model.map`."""

    objective: str
    fuse: bool
    perfect: bool
    budget_s: float | None
    workers: int
    store: Path | None


class Plan(Shown):
    """A model on a machine. data: the library's own object. notes: what a reader should know."""

    __slots__ = ("_machine", "data", "notes")

    def __init__(self, data: ModelPlan, machine: Machine, notes: tuple[str, ...] = ()) -> None:
        self.data, self._machine, self.notes = data, machine, notes

    @property
    def cycles(self) -> int:
        """Cycles of one pass of the model."""
        return self.data.totals.cycles

    @property
    def energy_pj(self) -> float:
        """Energy of one pass."""
        return self.data.totals.energy_pj

    @property
    def dram_bytes(self) -> int:
        """Bytes of DRAM of one pass."""
        return self.data.totals.dram_bytes

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """The schedule of each distinct contraction, as it runs in its group."""
        from inferstack.report.plan import scheduled

        return tuple(Schedule(one) for one in scheduled(self.data))

    def __getitem__(self, name: str) -> Schedule:
        """The schedule of the layer of that name. Raises UnknownNameError."""
        found = {one.name: one for one in self.schedules}
        if name not in found:
            raise UnknownNameError(f"plan of {self.data.model}", "schedule", name, found)
        return found[name]

    def table(self) -> RenderableType:
        """A row per distinct operator or group, totals and proof."""
        from rich.console import Group
        from rich.text import Text

        from inferstack.report.plan import to_tables

        return Group(to_tables(self.data), *(Text(note) for note in self.notes))

    def to_dict(self) -> Record:
        """Everything; units stand in the names."""
        from inferstack.report.plan import to_json

        return {**to_json(self.data), "mask": "full", "notes": list(self.notes)}

    def records(self) -> list[Record]:
        """A row per distinct operator or group."""
        from inferstack.report.plan import to_records

        return to_records(self.data)

    def figure(self) -> Any:
        """Each operator between its bound and its cost, as a figure of plotly."""
        from inferstack.report.plan import bound_figure

        return bound_figure(self.data)

    def save(self, folder: str | Path) -> list[tuple[Path, str]]:
        """Writes plan.json, the page map.html and a file per mapping; each path with what it is."""
        from inferstack.report.plan import write_folder

        return write_folder(self.data, Path(folder))

    def export(self, tool: str, folder: str | Path) -> Path:
        """Writes the operators for another tool: accelforge or timeloop. Returns their folder."""
        from inferstack.report.plan import write_export

        return write_export(self.data, self._machine.accelerator, tool, Path(folder))


def check_plan_files(out: Path | None, export: str | None) -> None:
    """Whether a plan can be written there; before the long work. Raises InputError."""
    from inferstack.exchange.format import formats
    from inferstack.report.path import check_folder

    if export is not None and out is None:
        raise InputError("--export", "needs a folder to write to", need="--out FOLDER")
    if export is not None and export not in formats():
        raise UnknownNameError("--export", "format", export, formats())
    if out is not None:
        check_folder(out, ("plan.json", "map.html", "mappings/*", f"{export}/**/*.yaml"))


def planned(
    graph: Graph,
    machine: Machine,
    search: Search,
    progress: Progress,
    notes: tuple[str, ...] = (),
) -> Plan:
    """The plan of a graph. Raises DoesNotFitError."""
    from inferstack.mapping.kernels import kernels_of
    from inferstack.schedule.plan import plan
    from inferstack.schedule.searcher import Searcher
    from inferstack.schedule.store import OptimumStore

    store = None if search.store is None else OptimumStore(search.store)
    searcher = Searcher(
        search.objective,
        perfect=search.perfect,
        store=store,
        budget_s=math.inf if search.budget_s is None else search.budget_s,
        workers=search.workers,
    )
    kernels = kernels_of(graph)
    found = plan(kernels, machine.accelerator, searcher, fuse=search.fuse, progress=progress)
    if isinstance(found, Infeasible):
        raise DoesNotFitError(found)
    return Plan(found, machine, (*notes, *(store.notes if store is not None else ())))
