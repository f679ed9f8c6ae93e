"""Measure how well a decoder predicts a text: its perplexity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferstack.cli import completion
from inferstack.cli.console import Format, session_of


def register(app: typer.Typer) -> None:
    """Adds `inferstack perplexity`."""

    @app.command()
    def perplexity(
        context: typer.Context,
        model: Annotated[
            str,
            typer.Argument(
                help="A decoder: a Hugging Face folder or a GGUF file.",
                autocompletion=completion.models,
            ),
        ],
        data: Annotated[Path, typer.Option(metavar="FILE", help="A text, read as it is.")],
        window: Annotated[
            int | None,
            typer.Option(help="Tokens at once.  [default: 1024, or the model's positions]"),
        ] = None,
        stride: Annotated[
            int | None,
            typer.Option(help="By how many tokens windows move on.  [default: half a window]"),
        ] = None,
        max_tokens: Annotated[
            int | None, typer.Option(help="Only the first tokens.  [default: all]")
        ] = None,
        calibrate: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="Run in integers, with the ranges of this text."),
        ] = None,
        form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    ) -> None:
        """Measure how well a decoder predicts a text: its perplexity.

        Windows overlap: each token is scored once, behind up to a window of others.
        """
        import inferstack as ist

        session = session_of(context)
        with session.progress() as progress:
            decoder = ist.load(model).decoder(calibrate, progress=progress)
            found = decoder.perplexity(
                data, window=window, stride=stride, max_tokens=max_tokens, progress=progress
            )
        session.show_result(found, form)
