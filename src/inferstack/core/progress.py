"""`Progress`: what long work calls as it goes on, whoever listens."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""(what is being done, steps finished, steps in all)."""


def silent(what: str, done: int, total: int) -> None:
    """Nobody listens."""


def counted(progress: Progress, what: str, total: int) -> Callable[[int], None]:
    """A function to call with the steps just finished."""
    done = 0
    progress(what, 0, total)

    def advance(steps: int) -> None:
        nonlocal done
        done += steps
        progress(what, done, total)

    return advance
