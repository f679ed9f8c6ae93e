"""What each decision gains and costs on a real checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferstack.cli import completion
from inferstack.cli.console import Format, session_of


def register(app: typer.Typer) -> None:
    """Adds `inferstack optimize`."""

    @app.command()
    def optimize(
        context: typer.Context,
        model: Annotated[
            Path, typer.Argument(help="A Hugging Face folder, or a GGUF file of a decoder.")
        ],
        on: Annotated[
            str,
            typer.Option(
                help="The accelerator: a name of the library or a YAML file.",
                autocompletion=completion.machines,
            ),
        ] = "gemmini",
        seq_len: Annotated[int, typer.Option(help="Tokens of each sequence.")] = 128,
        data: Annotated[
            Path | None,
            typer.Option(
                help="Sentences, one a line; for a decoder, a text. A third of it calibrates, "
                "the rest measures accuracy. Needed."
            ),
        ] = None,
        calibrate: Annotated[
            Path | None,
            typer.Option(help="Other data to calibrate on; then all of --data measures."),
        ] = None,
        eval_: Annotated[
            Path | None,
            typer.Option(
                "--eval",
                help="Scored pairs (sentence, sentence, score, tab separated), of an encoder: adds "
                "Spearman's rank correlation of both models.",
            ),
        ] = None,
        objective: Annotated[
            str,
            typer.Option(
                help="What schedules minimize: latency, energy, edp, dram_bytes.",
                autocompletion=completion.objectives,
            ),
        ] = "edp",
        check: Annotated[
            int,
            typer.Option(
                min=0,
                help="Sentences or windows of a text that each row runs on the simulator, bit for "
                "bit compared.",
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
        import inferstack as ist
        from inferstack.core.errors import InputError
        from inferstack.report.path import check_report_path

        session = session_of(context)
        if data is None:
            raise InputError(
                "--data", "is missing",
                need="a file of sentences, such as a text with one a line; for a decoder, any text",
                hint="the ranges of the integers come from real data; a few hundred sentences do",
            )  # fmt: skip
        if report is not None:
            check_report_path(report)
        with session.progress() as progress:
            result = ist.load(model).optimize(
                data,
                on,
                seq_len=seq_len,
                calibrate=calibrate,
                pairs=eval_,
                objective=objective,
                check=check,
                out=out,
                progress=progress,
                started=lambda kept: session.narrate(
                    f"keeping in {kept} what lets a stopped run go on"
                ),
                told=session.narrate,
            )
        for what, path in result.files.items():
            session.wrote(path, f"the {what}")
        try:
            if report is not None:
                session.wrote(result.save_report(report), "the report")
        finally:
            # A full disk does not take the result of the run away.
            session.show_result(result, format_)
