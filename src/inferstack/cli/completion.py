"""What a shell can complete: names of models, machines, objectives and formats.

`inferstack --install-completion` sets a shell up. Each function is asked with what is typed so far;
where nothing matches, the shell completes files, so that folders of models and machine files work.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

VARIABLE = "_INFERSTACK_COMPLETE"
"""Set by the shell that asks for completions."""
_WORDS = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")
"""Where bash, and the other shells, put the line so far."""


def called_verb() -> str | None:
    """The verb on the line that a shell wants completed; None where none asks."""
    if VARIABLE not in os.environ:
        return None
    line = next((os.environ[name] for name in _WORDS if name in os.environ), "")
    words = [word for word in line.split()[1:] if not word.startswith("-")]
    return words[0] if words else ""


def models(incomplete: str) -> list[str]:
    """Named models."""
    from inferstack.api.names import model_names

    return _starting(incomplete, model_names())


def machines(incomplete: str) -> list[str]:
    """Machines of the library."""
    from inferstack.api.names import machine_names

    return _starting(incomplete, machine_names())


def objectives(incomplete: str) -> list[str]:
    """What schedules can minimize."""
    from inferstack.api.names import objective_names

    return _starting(incomplete, objective_names())


def formats(incomplete: str) -> list[str]:
    """Formats of other mappers."""
    from inferstack.api.names import format_names

    return _starting(incomplete, format_names())


def conventions(incomplete: str) -> list[str]:
    """Counting conventions."""
    from inferstack.api.names import convention_names

    return _starting(incomplete, convention_names())


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
