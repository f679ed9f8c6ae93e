"""What each decision gains and costs on a real checkpoint."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from inferstack.cli.console import session_of


class Format(StrEnum):
    """How the result is printed."""

    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Adds `inferstack optimize`."""

    @app.command()
    def optimize(
        context: typer.Context,
        model: Annotated[
            Path, typer.Argument(help="A Hugging Face folder of a BERT-like encoder.")
        ],
        on: Annotated[
            str, typer.Option(help="The accelerator: a name of the library or a YAML file.")
        ] = "gemmini",
        seq_len: Annotated[int, typer.Option(help="Tokens of each sequence.")] = 128,
        data: Annotated[
            Path | None,
            typer.Option(
                help="Sentences, one a line. A third of them calibrates, the others measure "
                "accuracy. Needed."
            ),
        ] = None,
        calibrate: Annotated[
            Path | None,
            typer.Option(help="Other sentences to calibrate on; then all of --data measures."),
        ] = None,
        eval_: Annotated[
            Path | None,
            typer.Option(
                "--eval",
                help="Scored pairs (sentence, sentence, score, tab separated): adds Spearman's "
                "rank correlation of both models.",
            ),
        ] = None,
        objective: Annotated[
            str, typer.Option(help="What schedules minimize: latency, energy, edp, dram_bytes.")
        ] = "edp",
        check: Annotated[
            int,
            typer.Option(
                min=0, help="Sentences that each row runs on the simulator, bit for bit compared."
            ),
        ] = 2,
        report: Annotated[
            Path | None, typer.Option(help="Also write one HTML page that opens anywhere.")
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(
                help="The folder for the integer model, mappings and statistics, and for what "
                "lets a stopped run go on.  [default: optimized/NAME]"
            ),
        ] = None,
        format_: Annotated[
            Format, typer.Option("--format", help="How stdout shows the result.")
        ] = Format.TABLE,
    ) -> None:
        """What each decision gains and costs on a real checkpoint.

        Five rows, each keeps everything above it: int8 baseline with float operators on the host,
        integer-only operators, the split of the memory, optimal schedules, fused schedules. Every
        row is run on the simulated accelerator; its accuracy is that of the model that ran.

        \b
        Example:
          inferstack optimize samples/all-MiniLM-L6-v2 --on gemmini --seq-len 128 \\
              --data data/sentences.txt --report report.html
        """
        from inferstack.core.errors import InputError
        from inferstack.core.infeasible import Infeasible
        from inferstack.hardware.load import load_accelerator
        from inferstack.models.data import read_pairs, read_sentences
        from inferstack.models.scenario import check_size
        from inferstack.optimize.stack import Request
        from inferstack.optimize.stack import optimize as run
        from inferstack.report.path import check_folder, check_report_path

        session = session_of(context)
        if data is None:
            raise InputError(
                "--data", "is missing", need="a text file with one sentence per line",
                hint="the ranges of the integers come from real sentences; a few hundred do",
            )  # fmt: skip
        check_size("--seq-len", seq_len)
        accelerator = load_accelerator(on)
        sentences = read_sentences(data)
        if report is not None:
            check_report_path(report)
        folder = out or Path("optimized") / model.resolve().name
        request = Request(
            model=model,
            accelerator=accelerator,
            seq_len=seq_len,
            sentences=sentences,
            calibration=read_sentences(calibrate) if calibrate is not None else None,
            pairs=read_pairs(eval_) if eval_ is not None else None,
            objective=objective,
            checked_sentences=check,
            folder=folder,
        )
        check_folder(folder)
        session.narrate(f"keeping in {folder / 'stages'} what lets a stopped run go on")
        with session.progress() as progress:
            result = run(request, progress)
        if isinstance(result, Infeasible):
            session.infeasible(result)
        for what, path in result.files.items():
            session.wrote(Path(path), f"the {what}")
        if report is not None:
            from inferstack.report.html import write_report

            write_report(result, report)
            session.wrote(report, "the report")
        if format_ is Format.JSON:
            from inferstack.report.json import to_json

            session.show_json(to_json(result))
        else:
            from inferstack.report.table import to_tables

            session.show(to_tables(result))
