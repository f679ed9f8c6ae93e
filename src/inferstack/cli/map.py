"""Find the proven best schedules, and what to fuse."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferstack.analysis.workload import Task
from inferstack.cli.console import session_of
from inferstack.core.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from inferstack.cli.console import Session
    from inferstack.ir.graph import Graph

USUAL_TOKENS = 512
USUAL_MACHINE = "peers-target"


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
            str | None,
            typer.Argument(help="A model's name, or a Hugging Face folder with config.json."),
        ] = None,
        on: Annotated[
            str | None,
            typer.Option(
                help="The accelerator: a name of the library or a YAML file.  "
                "[default: peers-target]"
            ),
        ] = None,
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
        perfect: Annotated[
            bool,
            typer.Option(
                "--perfect",
                help="Only factors that divide: a smaller space, searched faster.",
            ),
        ] = False,
        budget: Annotated[
            float | None,
            typer.Option(
                min=0, help="Seconds for each search, after which the best so far is taken."
            ),
        ] = None,
        workers: Annotated[
            int,
            typer.Option(
                min=1,
                help="Processes that search distinct operators side by side; the result is the "
                "same.",
            ),
        ] = 1,
        store: Annotated[
            Path | None,
            typer.Option(
                help="A file that keeps proven schedules, so that equal operators of later runs "
                "are free."
            ),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(help="A folder for plan.json, the page map.html and the mappings."),
        ] = None,
        export: Annotated[
            str | None,
            typer.Option(
                help="Also write the operators for another tool into --out: accelforge, timeloop."
            ),
        ] = None,
        score: Annotated[
            Path | None,
            typer.Option(
                metavar="FILE.yaml",
                help="Check and cost this mapping file instead, on --on or the machine it names.",
            ),
        ] = None,
        format_: Annotated[
            Format, typer.Option("--format", help="How stdout shows the result.")
        ] = Format.TABLE,
    ) -> None:
        """Find the proven best schedules, and what to fuse.

        Operands are of 8 bits, what leaves for a nonlinear operator of 32. Every distinct shape is
        searched once; the certificate says what was proven over which space.

        \b
        Examples:
          inferstack map bert-base --on peers-target --seq-len 512 --objective energy --out mapped
          inferstack map --score mapped/mappings/layer0.scores.yaml
        """
        session = session_of(context)
        if score is not None:
            _score(session, score, on, format_)
            return
        if model is None:
            raise InputError(
                "MODEL", "is missing", need="a model's name or folder, or --score FILE.yaml",
                hint="for example: inferstack map bert-base",
            )  # fmt: skip
        if export is not None and out is None:
            raise InputError("--export", "needs a folder to write to", need="--out FOLDER")
        graph = graph_of(model, seq_len=seq_len, phase=phase, batch=batch, image_size=image_size)
        _plan(
            session,
            graph,
            on or USUAL_MACHINE,
            Wishes(
                objective=objective,
                fuse=fuse,
                perfect=perfect,
                budget_s=budget,
                workers=workers,
                store=store,
                out=out,
                export=export,
                format=format_,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The flags of a search."""

    objective: str
    fuse: bool
    perfect: bool
    budget_s: float | None
    workers: int
    store: Path | None
    out: Path | None
    export: str | None
    format: Format


def _plan(session: Session, graph: Graph, on: str, wishes: Wishes) -> None:
    from inferstack.core.infeasible import Infeasible
    from inferstack.exchange.format import formats
    from inferstack.hardware.load import load_accelerator
    from inferstack.mapping.kernels import kernels_of
    from inferstack.report import plan as report
    from inferstack.report.path import check_folder
    from inferstack.schedule.plan import plan
    from inferstack.schedule.searcher import Searcher
    from inferstack.schedule.store import OptimumStore

    accelerator = load_accelerator(on)
    if wishes.export is not None and wishes.export not in formats():
        raise UnknownNameError("--export", "format", wishes.export, formats())
    if wishes.out is not None:
        check_folder(wishes.out)
    searcher = Searcher(
        wishes.objective,
        perfect=wishes.perfect,
        store=None if wishes.store is None else OptimumStore(wishes.store),
        budget_s=math.inf if wishes.budget_s is None else wishes.budget_s,
        workers=wishes.workers,
    )
    with session.progress() as progress:
        found = plan(kernels_of(graph), accelerator, searcher, fuse=wishes.fuse, progress=progress)
    if isinstance(found, Infeasible):
        session.infeasible(found)
    if wishes.out is not None:
        for path, what in report.write_folder(found, wishes.out):
            session.wrote(path, what)
        if wishes.export is not None:
            folder = report.write_export(found, accelerator, wishes.export, wishes.out)
            session.wrote(folder, f"the operators for {wishes.export}")
    if wishes.format is Format.JSON:
        session.show_json(report.to_json(found))
    else:
        session.show(report.to_tables(found))


def _score(session: Session, path: Path, on: str | None, form: Format) -> None:
    from inferstack.cost.cost import nest_cost
    from inferstack.hardware.load import load_accelerator
    from inferstack.mapping.mapping_file import load_mapping
    from inferstack.report import score as report

    mapping, contraction = load_mapping(path)
    accelerator = load_accelerator(on or mapping.accelerator)
    cost = nest_cost(mapping, contraction, accelerator)
    if form is Format.JSON:
        session.show_json(report.to_json(mapping, accelerator, cost))
    else:
        session.show(report.to_text(mapping, contraction, accelerator, cost))


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
