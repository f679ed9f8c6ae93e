"""Count what a model asks for: FLOPs, bytes, intensity, memory."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferstack.analysis.workload import Task, Workload
from inferstack.cli.console import session_of
from inferstack.core.errors import InputError

if TYPE_CHECKING:
    from inferstack.analysis.convention import Convention
    from inferstack.cli.console import Session
    from inferstack.report.analysis import Row

MOST_LENGTHS = 64
MOST_DIGITS = 12
USUAL_MACHINE = "survey-analytic"
"""Whose roof is drawn where no machine is named."""


class Format(StrEnum):
    """How the answer is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class ElementType(StrEnum):
    """What an element of weights and activations is."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"
    INT4 = "int4"


class Group(StrEnum):
    """What a row of the table is."""

    PART = "part"
    KIND = "kind"


def register(app: typer.Typer) -> None:
    """Adds `inferstack analyze`."""

    @app.command()
    def analyze(
        context: typer.Context,
        model: Annotated[
            str, typer.Argument(help="A model's name, or a Hugging Face folder with config.json.")
        ],
        seq_len: Annotated[
            str | None,
            typer.Option(metavar="N[,N...]", help="Tokens per sequence. [default: 128,512]"),
        ] = None,
        phase: Annotated[
            Task | None,
            typer.Option(
                help="Encoders encode. Decoders generate all tokens of the sequence one by one, "
                "prefill them as a prompt, or decode only the last one. [default: encode, generate]"
            ),
        ] = None,
        batch: Annotated[int, typer.Option(help="Sequences, or images, at once.")] = 1,
        image_size: Annotated[
            int | None, typer.Option(help="Height and width in pixels, for ResNets. [default: 224]")
        ] = None,
        convention: Annotated[
            str, typer.Option(help="exact, or survey: as Kim et al. 2023 count.")
        ] = "exact",
        dtype: Annotated[
            ElementType | None,
            typer.Option(
                help="Weights and activations, for exact. [default: float32; int8 on a machine]"
            ),
        ] = None,
        by: Annotated[Group, typer.Option(help="What a row is.")] = Group.PART,
        on: Annotated[
            str | None,
            typer.Option(metavar="ACCELERATOR", help="Also model its time on this machine."),
        ] = None,
        roofline: Annotated[
            Path | None,
            typer.Option(metavar="FILE.html", help="Draw the roofline of --on into this file."),
        ] = None,
        form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    ) -> None:
        """Count what a model asks for: FLOPs, bytes, intensity, memory.

        Needs no weights: everything follows from the loops of the model's operators.
        """
        from inferstack.analysis.convention import convention_named
        from inferstack.analysis.workload import find_model, workloads
        from inferstack.core.dtypes import DType
        from inferstack.report import analysis as report

        session = session_of(context)
        if roofline is not None:
            from inferstack.report.path import check_report_path

            check_report_path(roofline, "--roofline")
        if dtype is None and convention == "exact" and (on is not None or roofline is not None):
            # All machines here compute in 8 bits; other bytes beside their times would mislead.
            dtype = ElementType.INT8
        counted = convention_named(convention, DType(dtype.value) if dtype else None)
        found = find_model(model, image_size=image_size)
        lengths = None if seq_len is None else read_lengths(seq_len)
        asked = workloads(found, lengths=lengths, task=phase, batch=batch)
        _say_what_is_stretched(session, asked)
        rows = _rows(asked, counted, on)
        if form is Format.JSON:
            session.show_json(report.to_json(rows))
        elif form is Format.CSV:
            session.show_text(report.to_csv(rows, by.value))
        else:
            session.show(report.to_tables(rows, by.value))
        if roofline is not None:
            _draw(session, rows, by, on or USUAL_MACHINE, roofline)


def read_lengths(text: str) -> tuple[int, ...]:
    """The sequence lengths in "128,512,4096", each once. Raises InputError."""
    words = [word.strip() for word in text.split(",")]
    shown = text if len(text) <= 40 else text[:37] + "..."
    for word in words:
        if not (word.isascii() and word.isdigit() and len(word) <= MOST_DIGITS):
            raise InputError(
                f"--seq-len {shown}",
                "is no list of sequence lengths",
                got=repr(word[:20]),
                need="whole numbers of tokens with commas between them",
                hint="for example --seq-len 128,512,4096",
            )
    lengths = tuple(dict.fromkeys(int(word) for word in words))
    if len(lengths) > MOST_LENGTHS:
        raise InputError(
            "--seq-len", "too many lengths", got=len(lengths), need=f"at most {MOST_LENGTHS}"
        )
    return lengths


def _say_what_is_stretched(session: Session, asked: tuple[Workload, ...]) -> None:
    longest = asked[0].longest_sequence
    beyond = [f"{w.tokens:,}" for w in asked if longest is not None and w.tokens > longest]
    if beyond:
        session.narrate(
            f"{asked[0].model.name} has positions for {longest:,} tokens; "
            f"counted as if for {', '.join(beyond)} too"
        )


def _rows(asked: tuple[Workload, ...], counted: Convention, on: str | None) -> list[Row]:
    from inferstack.analysis.workload import analyze
    from inferstack.report.analysis import OnMachine

    analyses = [analyze(workload, counted) for workload in asked]
    if on is None:
        return [(analysis, None) for analysis in analyses]
    from inferstack.cost.analytic import roof_of, workload_costs
    from inferstack.hardware.load import load_accelerator

    machine = load_accelerator(on)
    return [
        (
            analysis,
            OnMachine(
                roof=roof_of(machine),
                costs=workload_costs(analysis.workload, machine, counted),
                clock_hz=machine.clock_hz,
            ),
        )
        for analysis in analyses
    ]


def _draw(session: Session, rows: list[Row], by: Group, machine: str, path: Path) -> None:
    from inferstack.analysis.roofline import roofline
    from inferstack.cost.analytic import roof_of
    from inferstack.hardware.load import load_accelerator
    from inferstack.report.analysis import GROUPS, size_of
    from inferstack.report.roofline import write_roofline

    roof = roof_of(load_accelerator(machine))
    drawn = [
        (size_of(analysis), roofline(GROUPS[by.value](analysis.operators), roof))
        for analysis, _ in rows
    ]
    first = rows[0][0]
    title = f"{first.workload.model.name}, {first.workload.task}"
    write_roofline(path, title, first.convention.summary, drawn)
    session.wrote(path, f"the roofline on {machine}")
