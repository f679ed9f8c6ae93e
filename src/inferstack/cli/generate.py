"""Continue a text, translate or summarize one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from inferstack.api.choices import WRITTEN_TOKENS
from inferstack.cli import completion
from inferstack.cli.console import session_of


def register(app: typer.Typer) -> None:
    """Adds `inferstack generate`."""

    @app.command()
    def generate(
        context: typer.Context,
        model: Annotated[
            str,
            typer.Argument(
                help="A Hugging Face folder of a decoder or an encoder-decoder, or a GGUF file.",
                autocompletion=completion.models,
            ),
        ],
        prompt: Annotated[str, typer.Option(metavar="TEXT", help="What it continues or reads.")],
        max_tokens: Annotated[int, typer.Option(help="Tokens to write at most.")] = WRITTEN_TOKENS,
        temperature: Annotated[
            float, typer.Option(help="0: always the likeliest token. Higher draws unlikelier ones.")
        ] = 0.0,
        top_k: Annotated[
            int | None, typer.Option(help="Draw from so many tokens only.  [default: all]")
        ] = None,
        top_p: Annotated[
            float, typer.Option(help="Draw from the likeliest that together have this probability.")
        ] = 1.0,
        seed: Annotated[int, typer.Option(help="The same seed draws the same tokens.")] = 0,
        stop: Annotated[
            list[str] | None,
            typer.Option(metavar="TEXT", help="End where this appears; several times if need be."),
        ] = None,
        chat: Annotated[
            bool, typer.Option("--chat", help="The prompt is a message, in the model's template.")
        ] = False,
        calibrate: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="Run in integers, with the ranges of this text."),
        ] = None,
        source_language: Annotated[
            str | None,
            typer.Option(metavar="TOKEN", help="Of a translator: what the prompt is written in."),
        ] = None,
        target_language: Annotated[
            str | None,
            typer.Option(metavar="TOKEN", help="What to translate into, such as fra_Latn."),
        ] = None,
    ) -> None:
        """Continue a text, translate or summarize one.

        A decoder continues the prompt; an encoder-decoder reads it and writes another text.

        \b
        Examples:
          inferstack generate path/to/llama --prompt "Once upon a time" --max-tokens 64
          inferstack generate path/to/llama --prompt "Once upon a time" --calibrate text.txt
          inferstack generate path/to/nllb --prompt "A cat sat." --target-language fra_Latn
        """
        import inferstack as ist

        session = session_of(context)
        with session.progress() as progress:
            writer = ist.load(model).writer(calibrate, progress=progress)
        written = writer.stream(
            prompt,
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            stop=stop or (),
            chat=chat,
            source_language=source_language,
            target_language=target_language,
        )
        start = time.perf_counter()
        try:
            for piece in written:
                session.show_piece(piece)
        finally:
            session.show_piece("\n")
        seconds = time.perf_counter() - start
        count, read = len(written.ids), written.read_tokens
        given = f"for {read:,} read" if read else f"behind {len(written.prompt):,}"
        session.narrate(
            f"{count:,} tokens {given}, {count / seconds:.1f} a second; ended by: {written.ending}"
        )
