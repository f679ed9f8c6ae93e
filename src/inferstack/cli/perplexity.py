"""Measure how well a decoder predicts a text: its perplexity."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from inferstack.cli import completion
from inferstack.cli.console import session_of


class Format(StrEnum):
    """How the answer is written."""

    TEXT = "text"
    JSON = "json"


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
        form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TEXT,
    ) -> None:
        """Measure how well a decoder predicts a text: its perplexity.

        Windows overlap: each token is scored once, behind up to a window of others.
        """
        import inferstack as ist

        session = session_of(context)
        decoder = ist.load(model).decoder()
        with session.progress() as progress:
            found = decoder.perplexity(
                data, window=window, stride=stride, max_tokens=max_tokens, progress=progress
            )
        if form is Format.JSON:
            session.show_json(
                {
                    "model": decoder.name,
                    "perplexity": found.value,
                    "nats": found.nats,
                    "scored": found.scored,
                    "tokens": found.tokens,
                    "window": found.window,
                    "stride": found.stride,
                }
            )
            return
        session.show_text(
            f"perplexity {found.value:.4f} over {found.scored:,} tokens "
            f"(windows of {found.window:,}, stride {found.stride:,})"
        )
