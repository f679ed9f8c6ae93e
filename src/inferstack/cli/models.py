"""List the models that have a name, with sizes and sources."""

from __future__ import annotations

from typing import Annotated

import typer

from inferstack.cli.console import Format, session_of


def register(app: typer.Typer) -> None:
    """Adds `inferstack models`."""

    @app.command()
    def models(
        context: typer.Context,
        kind: Annotated[
            str | None, typer.Option("--type", help="Of this model_type of Hugging Face alone.")
        ] = None,
        form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    ) -> None:
        """List the models that have a name, with sizes and sources.

        A folder with config.json is read as well: `inferstack analyze FOLDER`.
        """
        import inferstack as ist

        session_of(context).show_result(ist.named_models(kind), form)
