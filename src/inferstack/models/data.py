"""Files of sentences and of scored sentence pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from inferstack.core.errors import DataError
from inferstack.core.text import printable
from inferstack.models.data_files import (
    LARGEST_FILE_BYTES,
    Form,
    Records,
    read_records,
    sentence_columns,
    text_lines,
)

__all__ = [
    "LARGEST_FILE_BYTES",
    "Pairs",
    "Texts",
    "read_pairs",
    "read_sentences",
    "read_texts",
]

SHORTEST_ROW = 3
NAMED_COLUMNS = ("sentence1", "sentence2", "score")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Sentence pairs, and how alike people found each: three tuples of one length."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Sentences out of a file. read_as: what the file was taken for."""

    sentences: tuple[str, ...]
    read_as: str


def read_sentences(path: Path) -> tuple[str, ...]:
    """The sentences of `read_texts`."""
    return read_texts(path).sentences


def read_texts(path: Path) -> Texts:
    """The sentences in a UTF-8 file: one a line, or JSON lines, a JSON list, or a table.

    A JSON record is a string, or an object with `text`, `sentence`, or `sentence1` and `sentence2`;
    a table names them in its first row, or holds sentence, sentence, score. Blank sentences are
    left out. Raises DataError, also where none is left and where all are the same one.
    """
    records = read_records(path)
    columns = sentence_columns(str(path), records)
    sentences = []
    for number, cells in records.rows:
        if len(cells) <= max(columns):
            raise DataError(
                f"{path}, row {number}", "has the wrong number of columns", got=len(cells),
                need="as many as the first row",
            )  # fmt: skip
        sentences += [cells[column] for column in columns if cells[column]]
    if not sentences:
        raise DataError(str(path), "has no sentences", need="one sentence per line")
    if len(sentences) > 1 and len(set(sentences)) == 1:
        raise DataError(
            str(path),
            "has the same sentence again and again",
            got=f"{len(sentences):,} times {printable(sentences[0])!r}",
            need="different sentences",
        )
    return Texts(sentences=tuple(sentences), read_as=_read_as(records, columns))


def _read_as(records: Records, columns: tuple[int, ...]) -> str:
    """The form, and which fields the sentences came from."""
    if records.form is Form.LINES:
        return records.form.value
    if records.header is None:
        return records.form.value + (", the first two" if len(columns) > 1 else "")
    return f"{records.form.value}, {' and '.join(records.header[c] for c in columns)}"


def read_pairs(path: Path) -> Pairs:
    """Rows of first sentence, second sentence and score, separated by tabs; or CSV, or JSON.

    A header, a first row that has `score` for a column, is optional; one that also names sentence1
    and sentence2 picks these columns, and the others are ignored. Raises DataError naming the row,
    counted from 1.
    """
    rows = _pair_rows(path)
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


def _pair_rows(path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a table, the header first where there is one."""
    lines = text_lines(path)
    first = next((line for line in lines if line.strip()), "")
    if "\t" not in first:
        records = read_records(path)
        if records.form in (Form.COMMAS, Form.JSON_LINES, Form.JSON_LIST):
            rows = [(number, list(cells)) for number, cells in records.rows]
            return [*([(1, list(records.header))] if records.header else []), *rows]
    return [(n, line.split("\t")) for n, line in enumerate(lines, 1) if line.strip(" ")]


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
