"""What callers may write for an argument: text for a closed set, a name or a path for a machine."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TypeVar

from inferstack.core.errors import InputError, UnknownNameError

Choice = TypeVar("Choice", bound=Enum)


def chosen(argument: str, value: str | Choice, choices: type[Choice]) -> Choice:
    """The member that a text names. Raises UnknownNameError."""
    if isinstance(value, choices):
        return value
    known = {str(member.value): member for member in choices}
    if str(value) not in known:
        raise UnknownNameError(argument, argument.strip("-"), str(value), known)
    return known[str(value)]


def lengths_of(seq_len: int | Sequence[int] | None) -> tuple[int, ...] | None:
    """Sequence lengths, each once; None where none is given."""
    if seq_len is None:
        return None
    given = (seq_len,) if isinstance(seq_len, int) else tuple(seq_len)
    if not given:
        raise InputError("--seq-len", "is empty", need="at least one length")
    return tuple(dict.fromkeys(given))
