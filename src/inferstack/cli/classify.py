"""Name what an image shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferstack.api.choices import SHOWN_CLASSES
from inferstack.cli.console import Format, session_of


def register(app: typer.Typer) -> None:
    """Adds `inferstack classify`."""

    @app.command()
    def classify(
        context: typer.Context,
        model: Annotated[Path, typer.Argument(help="A Hugging Face folder of a ViT or a DeiT.")],
        image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A PNG, a JPEG, ...")],
        top: Annotated[int, typer.Option(help="So many of the likeliest classes.")] = SHOWN_CLASSES,
        form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    ) -> None:
        """Name what an image shows.

        Needs Pillow: pip install 'inferstack[images]'

        \b
        Example:
          inferstack classify path/to/vit cat.png
        """
        import inferstack as ist

        found = ist.load(model).classifier().classify(image, top=top)
        session_of(context).show_result(found, form)
