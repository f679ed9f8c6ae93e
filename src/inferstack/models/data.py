"""Files of sentences and of scored sentence pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from inferstack.core.errors import DataError
from inferstack.models.config_file import printable

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

    A header, a first row that has `score` for a column, is optional; one that also names sentence1
    and sentence2 picks these columns, and the others are ignored. Raises DataError naming the row,
    counted from 1.
    """
    rows = [(n, line.split("\t")) for n, line in enumerate(_lines(path), 1) if line.strip(" ")]
    columns, exact = (0, 1, 2), True
    if rows and "score" in (header := [cell.strip().lower() for cell in rows[0][1]]):
        rows.pop(0)
        columns, exact = _columns(f"{path}, header", header)
    if not rows:
        raise DataError(str(path), "has no sentence pairs", need="sentence, sentence, score a row")
    width = max(columns) + 1
    pairs = [_pair(f"{path}, row {number}", row, columns, width, exact) for number, row in rows]
    first, second, scores = zip(*pairs, strict=True)
    return Pairs(first=first, second=second, scores=scores)


def _columns(where: str, header: list[str]) -> tuple[tuple[int, int, int], bool]:
    """Where the header puts the sentences and the score, and whether nothing else may follow."""
    counts = [header.count(name) for name in NAMED_COLUMNS]
    if counts == [1, 1, 1]:
        return (header.index("sentence1"), header.index("sentence2"), header.index("score")), False
    if len(header) == SHORTEST_ROW and header[:2].count("score") == 0:
        return (0, 1, 2), True
    raise DataError(
        where,
        "does not say which columns hold the sentences",
        got=", ".join(map(printable, header[:9])),
        need="sentence1, sentence2 and score once each",
    )


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
        raise DataError(where, "the score is no number", got=ascii(text)[:60], need="such as 3.5")
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
    try:
        if not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            raise DataError(str(path), what, need="a text file in UTF-8")
        if (size := path.stat().st_size) > LARGEST_FILE_BYTES:
            need = f"at most {LARGEST_FILE_BYTES:,}"
            raise DataError(str(path), "is too large", got=f"{size:,} bytes", need=need)
        raw = path.read_bytes()
    except OSError as failure:
        raise DataError(str(path), "cannot be read", got=failure.strerror) from None
    try:
        text = raw.decode("utf-8-sig")
        wrong = text.find("\0")
        position = len(text[:wrong].encode()) if wrong >= 0 else None
    except UnicodeDecodeError as failure:
        position = failure.start
    if position is not None:
        raise DataError(
            f"{path}, line {raw.count(bytes([10]), 0, position) + 1}",
            f"is not UTF-8 (byte {position})",
            hint="save the file with the encoding UTF-8",
        )
    # Not splitlines: it also splits at characters that stand inside sentences, such as U+2028.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
