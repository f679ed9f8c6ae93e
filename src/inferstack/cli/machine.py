"""List, show or import descriptions of machines."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from inferstack.cli.console import session_of
from inferstack.core.errors import InputError


class Action(StrEnum):
    """What to do."""

    LIST = "list"
    SHOW = "show"
    IMPORT = "import"


def register(app: typer.Typer) -> None:
    """Adds `inferstack machine`."""

    @app.command()
    def machine(
        context: typer.Context,
        action: Annotated[Action, typer.Argument(help="What to do.")],
        what: Annotated[
            str | None,
            typer.Argument(
                metavar="[NAME|FILE]",
                help="show: a machine's name or YAML file. import: Gemmini's gemmini_params.h.",
            ),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option("--out", "-o", help="import: the YAML file to write, instead of stdout."),
        ] = None,
    ) -> None:
        """List, show or import descriptions of machines.

        \b
        Examples:
          inferstack machine list
          inferstack machine show gemmini-ibert
          inferstack machine import gemmini_params.h -o mine.yaml
        """
        import inferstack as ist

        session = session_of(context)
        if action is Action.LIST:
            session.show_text("\n".join(ist.machine_names()))
            return
        if what is None:
            need = "a name or a YAML file" if action is Action.SHOW else "a gemmini_params.h"
            raise InputError("NAME|FILE", "is missing", need=need)
        if action is Action.SHOW:
            session.show(ist.machine(what).table())
            return
        made = ist.import_machine(what)
        if out is None:
            session.show_text(made.to_yaml())
        else:
            session.wrote(made.save(out), "the machine; `--on` reads it")
