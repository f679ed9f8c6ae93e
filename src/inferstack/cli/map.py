"""Find the proven best schedules, and what to fuse."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferstack.analysis.workload import Task
from inferstack.cli.console import session_of
from inferstack.core.errors import InputError

if TYPE_CHECKING:
    from inferstack.ir.graph import Graph

USUAL_TOKENS = 512


class Format(StrEnum):
    """How the result is printed."""

    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Adds `inferstack map`."""

    @app.command("map")
    def map_(
        context: typer.Context,
        model: Annotated[
            str, typer.Argument(help="A model's name, or a Hugging Face folder with config.json.")
        ],
        on: Annotated[
            str, typer.Option(help="The accelerator: a name of the library or a YAML file.")
        ] = "peers-target",
        seq_len: Annotated[
            int | None, typer.Option(help="Tokens of each sequence.  [default: 512]")
        ] = None,
        phase: Annotated[
            Task | None,
            typer.Option(
                help="Encoders encode. Decoders prefill a prompt, or decode the last token of the "
                "sequence, the others cached.  [default: encode, decode]"
            ),
        ] = None,
        batch: Annotated[int, typer.Option(help="Sequences, or images, at once.")] = 1,
        image_size: Annotated[
            int | None, typer.Option(help="Height and width in pixels, for ResNets. [default: 224]")
        ] = None,
        objective: Annotated[
            str, typer.Option(help="What is minimized: latency, energy, edp, dram_bytes.")
        ] = "edp",
        fuse: Annotated[
            bool, typer.Option("--fuse/--no-fuse", help="Search what to fuse, or fuse nothing.")
        ] = True,
        out: Annotated[
            Path | None,
            typer.Option(help="A folder for plan.json, the page map.html and the mappings."),
        ] = None,
        format_: Annotated[
            Format, typer.Option("--format", help="How stdout shows the result.")
        ] = Format.TABLE,
    ) -> None:
        """Find the proven best schedules, and what to fuse.

        Operands are of 8 bits, what leaves for a nonlinear operator of 32. Every distinct shape is
        searched once; the certificate says what was proven over which space.

        \b
        Example:
          inferstack map bert-base --on peers-target --seq-len 512 --objective energy --out mapped
        """
        from inferstack.core.infeasible import Infeasible
        from inferstack.hardware.load import load_accelerator
        from inferstack.mapping.fused.kernels import kernels_of
        from inferstack.mapping.inner import Searcher
        from inferstack.mapping.plan import plan
        from inferstack.report import plan as report
        from inferstack.report.path import check_folder

        session = session_of(context)
        accelerator = load_accelerator(on)
        if out is not None:
            check_folder(out)
        graph = graph_of(model, seq_len=seq_len, phase=phase, batch=batch, image_size=image_size)
        searcher = Searcher(objective)
        with session.progress() as progress:
            found = plan(
                kernels_of(graph), accelerator, searcher, objective, fuse=fuse, progress=progress
            )
        if isinstance(found, Infeasible):
            session.infeasible(found)
        if out is not None:
            for path, what in report.write_folder(found, out):
                session.wrote(path, what)
        if format_ is Format.JSON:
            session.show_json(report.to_json(found))
        else:
            session.show(report.to_tables(found))


def graph_of(
    name: str,
    *,
    seq_len: int | None,
    phase: Task | None,
    batch: int,
    image_size: int | None,
) -> Graph:
    """The shape-only graph of one pass. Raises InputError."""
    from inferstack.analysis.workload import find_model, workloads

    found = find_model(name, image_size=image_size)
    if phase is Task.GENERATE:
        raise InputError(
            "--phase generate",
            "is many passes of different shapes",
            need="one of encode, prefill, decode",
            hint="--phase decode maps the pass that makes the last token",
        )
    if phase is None and Task.DECODE in found.tasks:
        phase = Task.DECODE
    lengths = (
        None
        if seq_len is None and not found.architecture.sees_tokens
        else (USUAL_TOKENS if seq_len is None else seq_len,)
    )
    (workload,) = workloads(found, lengths=lengths, task=phase, batch=batch)
    return workload.graph()
