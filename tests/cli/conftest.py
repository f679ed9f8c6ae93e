"""A command line with one more verb, `play`, that does what a test tells it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import typer

from inferstack.cli import verbs
from inferstack.cli.console import Session, session_of
from inferstack.cli.main import main

Play = Callable[[Session], None]
Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """run(play, *arguments): the exit code of `inferstack *arguments` with the verb `play`."""

    def start(play: Play, *arguments: str) -> int:
        module = ModuleType("play")

        def register(app: typer.Typer) -> None:
            @app.command("play")
            def verb(
                context: typer.Context, count: int = 1, words: list[str] | None = None
            ) -> None:
                """Play."""
                play(session_of(context))

        module.__dict__["register"] = register
        extra = verbs.Verb(name="play", summary="Play.", load=lambda: module)
        known = verbs.discover_verbs()
        monkeypatch.setattr(verbs, "discover_verbs", lambda: (*known, extra))
        code = main(arguments or ["play"])
        monkeypatch.undo()
        return code

    return start
