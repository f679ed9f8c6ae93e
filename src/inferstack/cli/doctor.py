"""Say what is installed here: versions, extras, cores, memory."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from inferstack.cli.console import session_of


class Format(StrEnum):
    """How the answer is written."""

    TABLE = "table"
    JSON = "json"


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

        session = session_of(context)
        found = ist.doctor()
        if form is Format.JSON:
            session.show_json(found)
        else:
            from inferstack.report.doctor import to_table

            session.show(to_table(found))
