"""What callers may write for an argument, checked where it enters the house."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TypeVar

from inferstack.core.errors import DataError, InputError, UnknownNameError
from inferstack.core.files import write_atomically

Choice = TypeVar("Choice", bound=Enum)


def chosen(argument: str, value: str | Choice, choices: type[Choice], kind: str) -> Choice:
    """The member that a text names. kind: what it is a name of. Raises UnknownNameError."""
    if isinstance(value, choices):
        return value
    known = {str(member.value): member for member in choices}
    if str(value) not in known:
        raise UnknownNameError(argument, kind, str(value), known)
    return known[str(value)]


def whole(argument: str, value: object) -> int:
    """A whole number; how large it may be, the library says. Raises InputError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(argument, "is no whole number", got=repr(value), need="a whole number")
    return value


def lengths_of(seq_len: int | Sequence[int] | None) -> tuple[int, ...] | None:
    """Sequence lengths, each once; None where none is given. Raises InputError."""
    if seq_len is None:
        return None
    given = tuple(seq_len) if isinstance(seq_len, list | tuple | range) else (seq_len,)
    if not given:
        raise InputError("--seq-len", "is empty", need="at least one length")
    return tuple(dict.fromkeys(whole("--seq-len", length) for length in given))


def name_or_path(argument: str, value: object) -> str | Path:
    """Text or a path. Raises InputError."""
    if not isinstance(value, str | Path):
        raise InputError(argument, "is neither a name nor a path", got=repr(value)[:60])
    return value


def sentence_list(sentences: Sequence[str]) -> tuple[str, ...]:
    """Several texts; one text alone would be read as its letters. Raises DataError."""
    if isinstance(sentences, str):
        need, hint = "a list of sentences", "put the one sentence into a list: [sentence]"
        raise DataError("sentences", "is one text", need=need, hint=hint)
    return tuple(sentences)


def written(path: str | Path, text: str) -> Path:
    """Writes a file in one step. Raises InputError where that cannot be done."""
    place = Path(path)
    try:
        write_atomically(place, text)
    except OSError as failure:
        raise InputError(str(place), f"cannot be written: {failure.strerror}") from None
    return place
