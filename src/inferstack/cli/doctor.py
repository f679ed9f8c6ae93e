"""Say what is installed here: versions, extras, cores, memory."""

from __future__ import annotations

from typing import Annotated

import typer

from inferstack.cli.console import Format, session_of


def register(app: typer.Typer) -> None:
    """Adds `inferstack doctor`."""

    @app.command()
    def doctor(
        context: typer.Context,
        form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    ) -> None:
        """Say what is installed here: versions, extras, cores, memory.

        A package that an extra needs and that is missing is shown with the line that installs it.
        """
        import inferstack as ist

        session_of(context).show_result(ist.doctor(), form)
