"""Where a verb writes: data to stdout, narration and progress to stderr.

A verb takes `context: typer.Context` first and asks `session_of(context)` for its `Session`. It
prints its result through `show_result`, says what it does through `narrate`, and reports
each finished file through `wrote`, so that an interrupted run can say what it leaves behind.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from inferstack.core.progress import Progress, silent

if TYPE_CHECKING:
    import typer
    from rich.console import Console, RenderableType

    from inferstack.api.shown import Shown
    from inferstack.core.infeasible import Infeasible

REDIRECTED_COLUMNS = 120
"""Width of a table that goes to a file or a pipe: wide enough for every table of ours."""


class Format(StrEnum):
    """How a result is written."""

    TABLE = "table"
    JSON = "json"


class ClosedPipeError(Exception):
    """Nobody reads stdout any more. The libraries that parse flags would make it exit code 1."""


@dataclass(slots=True, kw_only=True)
class Session:
    """One call of the command line. files: what has been written so far, each file complete."""

    quiet: bool = False
    debug: bool = False
    files: list[Path] = field(default_factory=list)

    def show(self, renderable: RenderableType) -> None:
        """Prints a table or a text for people to stdout."""
        console = _console(sys.stdout)
        with console.capture() as rendered:
            console.print(renderable)
        self.show_text(rendered.get())

    def show_text(self, text: str) -> None:
        """Prints text to stdout as it is, never wrapped: CSV, YAML, a loop nest."""
        try:
            sys.stdout.write(text if text.endswith("\n") else text + "\n")
        except BrokenPipeError:
            raise ClosedPipeError from None

    def show_piece(self, text: str) -> None:
        """Prints a part of a text at once, without a line's end; a terminal gets no control codes.

        What a model writes must not move the cursor or name the window.
        """
        if sys.stdout.isatty():
            text = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise ClosedPipeError from None

    def show_json(self, value: Any) -> None:
        """Prints one JSON document to stdout. NaN and infinities are refused: JSON has none."""
        self.show_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False))

    def show_result(self, found: Shown, form: Format) -> None:
        """Prints a result as --format asks."""
        if form is Format.JSON:
            self.show_json(found.to_dict())
        else:
            self.show(found.table())

    def narrate(self, text: str) -> None:
        """Says on stderr what is going on; nothing with --quiet, or where nobody can be told."""
        if self.quiet:
            return
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)

    def wrote(self, path: Path, what: str) -> None:
        """Records a complete file and says so: `wrote report.html: the report`."""
        self.files.append(path)
        self.narrate(f"wrote {path}: {what}")

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A progress bar on stderr; silent with --quiet and where stderr is no terminal."""
        if self.quiet or not sys.stderr.isatty():
            yield silent
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=_console(sys.stderr), transient=True) as bars:
            task = bars.add_task("", total=1)

            def report(what: str, done: int, total: int) -> None:
                bars.update(task, description=what, completed=done, total=max(total, 1))

            yield report

    def infeasible(self, outcome: Infeasible) -> NoReturn:
        """Says what does not fit and ends the verb with exit code 1."""
        import typer

        print(f"infeasible: {outcome.message()}", file=sys.stderr)
        raise typer.Exit(1)


def session_of(context: typer.Context) -> Session:
    """The session of a running verb."""
    session = context.obj
    assert isinstance(session, Session), "the verb was not started through cli.main"
    return session


def _console(stream: Any) -> Console:
    from rich.console import Console

    width = None if stream.isatty() else REDIRECTED_COLUMNS
    return Console(file=stream, width=width, highlight=False)
