"""Files of sentences and of scored sentence pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from inferstack.core.errors import DataError

LARGEST_FILE_BYTES = 2**30
SHORTEST_ROW = 3
NAMED_COLUMNS = ("sentence1", "sentence2", "score")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Sentence pairs, and how alike people found each: three tuples of one length."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    scores: tuple[float, ...]


def read_sentences(path: Path) -> tuple[str, ...]:
    """The lines of a UTF-8 text, without blank ones. Raises DataError, also where none is left."""
    sentences = tuple(line.strip() for line in _lines(path) if line.strip())
    if not sentences:
        raise DataError(str(path), "has no sentences", need="one sentence per line")
    return sentences


def read_pairs(path: Path) -> Pairs:
    """Rows of first sentence, second sentence and score, separated by tabs.

    The first row may be a header; one that names sentence1, sentence2 and score picks these
    columns, and the others are ignored. Raises DataError naming the row, counted from 1.
    """
    rows = [(n, line.split("\t")) for n, line in enumerate(_lines(path), 1) if line.strip()]
    columns = (0, 1, 2)
    if rows and set(NAMED_COLUMNS) <= set(rows[0][1]):
        header = rows.pop(0)[1]
        columns = (header.index("sentence1"), header.index("sentence2"), header.index("score"))
    elif rows and len(rows[0][1]) == SHORTEST_ROW and _score(rows[0][1][2]) is None:
        rows.pop(0)
    if not rows:
        raise DataError(str(path), "has no sentence pairs", need="sentence, sentence, score a row")
    width = max(columns) + 1
    exact = columns == (0, 1, 2)
    pairs = [_pair(f"{path}, row {number}", row, columns, width, exact) for number, row in rows]
    first, second, scores = zip(*pairs, strict=True)
    return Pairs(first=first, second=second, scores=scores)


def _pair(
    where: str, row: list[str], columns: tuple[int, int, int], width: int, exact: bool
) -> tuple[str, str, float]:
    """The two sentences and the score of one row."""
    if len(row) < width or (exact and len(row) > width):
        raise DataError(
            where,
            "has the wrong number of columns",
            got=len(row),
            need=f"{width} separated by tabs: sentence, sentence, score"
            if exact
            else f"{width} at least, as the header says",
            hint="the columns are separated by one tab each, not by commas or spaces",
        )
    first, second, text = (row[column].strip() for column in columns)
    if not first or not second:
        raise DataError(where, "has an empty sentence")
    score = _score(text)
    if score is None:
        raise DataError(where, "the score is no number", got=repr(text)[:60])
    return first, second, score


def _score(text: str) -> float | None:
    """A finite number, or None."""
    try:
        score = float(text)
    except ValueError:
        return None
    return score if math.isfinite(score) else None


def _lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, without their ends."""
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise DataError(str(path), what, need="a text file in UTF-8")
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            need = f"at most {LARGEST_FILE_BYTES:,}"
            raise DataError(str(path), "is too large", got=f"{size:,} bytes", need=need)
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = path.read_bytes()[: failure.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {line}",
            f"is not UTF-8 (byte {failure.start})",
            hint="save the file with the encoding UTF-8",
        ) from None
    except OSError as failure:
        raise DataError(str(path), "cannot be read", got=failure.strerror) from None
    # Not splitlines: it also splits at characters that stand inside sentences, such as U+2028.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
