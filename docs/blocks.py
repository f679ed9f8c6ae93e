"""The code blocks of our documents: what they run, what they show, and both made equal again.

`python docs/blocks.py` runs every document and writes today's output under the commands and the
Python blocks that show one. The tests run the same blocks and compare.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
COMPARED = ("analyze", "map")
"""Verbs whose output is the same everywhere; what is measured or timed is not."""
WITH_WEIGHTS = ("samples/", "ist.fetch_sample(", "inferstack sample")
"""What a step says that runs a checkpoint."""
_BLOCK = re.compile(
    r"^```(?P<language>console|python)\n(?P<body>.*?)^```\n"
    r"(?:\n*^```text\n(?P<shown>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command after a `$ ` prompt, continuations joined, or a block of Python.

    shown: the lines that stand under it; empty where it shows nothing.
    """

    source: str
    shown: str
    is_python: bool

    @property
    def words(self) -> list[str]:
        """The words of a command."""
        return shlex.split(self.source)

    @property
    def is_ours(self) -> bool:
        """Whether we run it here: Python, or a call of inferstack."""
        return self.is_python or Path(self.words[0]).name == "inferstack"

    @property
    def is_compared(self) -> bool:
        """Whether what it shows must be what it prints."""
        shows = self.is_ours and bool(self.shown.strip())
        return shows and (self.is_python or self.words[1] in COMPARED)

    @property
    def needs_weights(self) -> bool:
        """Whether it runs a checkpoint."""
        return any(sign in self.source for sign in WITH_WEIGHTS)


def documents() -> list[Path]:
    """Every document of the repository and of the site."""
    found = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    return sorted([*found, REPOSITORY / "data" / "README.md"])


def steps(text: str) -> list[Step]:
    """All steps of a document, in order."""
    found: list[Step] = []
    for block in _BLOCK.finditer(text):
        if block["language"] == "python":
            found.append(Step(source=block["body"], shown=block["shown"] or "", is_python=True))
            continue
        for part in re.split(r"^\$ ", block["body"], flags=re.MULTILINE)[1:]:
            line, _, shown = part.replace("\\\n", " ").partition("\n")
            found.append(Step(source=line, shown=shown, is_python=False))
    return found


def printed(step: Step, names: dict[str, Any]) -> str:
    """What a step of ours prints, in this process, without spaces at line ends.

    names: what the Python blocks of the document share.
    """
    from inferstack.cli.main import main

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        if step.is_python:
            exec(compile(step.source, "a block of Python", "exec"), names)
        else:
            with contextlib.redirect_stderr(io.StringIO()) as said:
                code = main(step.words[1:])
            assert code == 0, f"{step.source}: {said.getvalue()}"
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n") + "\n"


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder with `samples` and `data`, as the documents have them, to work in."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        for folder in ("samples", "data"):
            (Path(name) / folder).symlink_to(REPOSITORY / folder)
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def renewed(text: str) -> str:
    """A document with today's output."""
    names: dict[str, Any] = {"__name__": "document"}
    wanted = steps(text)
    if any(step.is_compared for step in wanted):
        for step in wanted:
            if step.is_python or step.is_compared:
                out = printed(step, names)
                text = text.replace(step.shown, out) if step.is_compared else text
    return text


def main() -> int:
    """Renews all documents."""
    for path in documents():
        text = path.read_text(encoding="utf-8")
        with workplace():
            new = renewed(text)
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(f"renewed {path.relative_to(REPOSITORY)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
