"""Write down what is said in a WAV file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferstack.cli.console import Format, session_of


def register(app: typer.Typer) -> None:
    """Adds `inferstack transcribe`."""

    @app.command()
    def transcribe(
        context: typer.Context,
        model: Annotated[Path, typer.Argument(help="A Hugging Face folder of a Whisper.")],
        sound: Annotated[Path, typer.Argument(metavar="FILE.wav", help="What is heard.")],
        language: Annotated[
            str | None,
            typer.Option(help="Spoken, such as en.  [default: what the model hears]"),
        ] = None,
        task: Annotated[
            str, typer.Option(help="transcribe, or translate into English.")
        ] = "transcribe",
        max_tokens: Annotated[
            int | None, typer.Option(help="Of each half minute, at most.  [default: the model's]")
        ] = None,
        form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    ) -> None:
        """Write down what is said in a WAV file.

        Uncompressed PCM at any rate; other files: ffmpeg -i talk.mp3 talk.wav

        \b
        Example:
          inferstack transcribe path/to/whisper-tiny.en talk.wav
        """
        import inferstack as ist

        session = session_of(context)
        transcriber = ist.load(model).transcriber()
        with session.progress() as progress:
            found = transcriber.transcribe(
                sound, language=language, task=task, max_tokens=max_tokens, progress=progress
            )
        if form is Format.JSON:
            session.show_result(found, form)
        else:
            # A table would be wrapped.
            session.show_text(found.text)
