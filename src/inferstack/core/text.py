"""Text of users and their files, fit for a message: short, and nothing that steers a terminal."""

from __future__ import annotations

LONGEST_SHOWN = 60
"""Characters of a value out of a file that a message repeats."""
LONGEST_PART = 1200
"""Characters of a part of a message; lists of names are the longest that are of use."""


def printable(text: str, most: int = LONGEST_SHOWN) -> str:
    """Text out of a file for a message: shortened, and in ASCII where it would not print."""
    short = text if len(text) <= most else text[: most - 3] + "..."
    return short if short.isprintable() else ascii(short)[1:-1]


def message_part(value: object, most: int = LONGEST_PART) -> str:
    """A part of a message: what would not print as an escape, the middle of long text left out."""
    text = str(value)
    if len(text) > most:
        text = f"{text[: most // 2]} ... {text[-most // 2 :]}"
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def one_slip(written: str, meant: str) -> bool:
    """Whether one slip leads from one key to another: a letter more, less, other or swapped.

    Case, and - for _, are no difference at all.
    """
    a, b = (key.casefold().replace("-", "_") for key in (written, meant))
    start = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    if start is None:
        return abs(len(a) - len(b)) <= 1
    rest, other = a[start:], b[start:]
    swapped = rest[:2] == other[1::-1] and rest[2:] == other[2:]
    return swapped or rest[1:] == other[1:] or rest[1:] == other or rest == other[1:]
