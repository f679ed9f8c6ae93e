"""What a file of sentences is written as: lines, JSON, or a table; and its records, one by one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from inferstack.core.errors import DataError
from inferstack.core.text import printable

LARGEST_FILE_BYTES = 2**30
LARGEST_TEXT_BYTES = 2**28
"""Of a text that is read whole."""
SENTENCE_FIELDS = ("text", "sentence")
PAIR_FIELDS = ("sentence1", "sentence2")
"""The names under which a record holds one sentence, or two."""
SCORE_FIELD = "score"
JSON_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
PAIR_COLUMNS = 3
MOST_NAMED = 6


class Form(StrEnum):
    """How a file is written; the value is what the user reads."""

    LINES = "one sentence per line"
    JSON_LINES = "JSON lines"
    JSON_LIST = "a JSON list"
    TABS = "columns separated by tabs"
    COMMAS = "columns separated by commas (CSV)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """header: the columns' names, in lower case; None where there are none.

    rows: line number and cells; one cell a row in a file of lines, and for a JSON string.
    """

    form: Form
    header: tuple[str, ...] | None
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def read_records(path: Path) -> Records:
    """The records of a data file, in whichever form it is. Raises DataError."""
    lines = text_lines(path)
    first = next((line.strip() for line in lines if line.strip()), "")
    suffix = path.suffix.lower()
    if suffix in JSON_SUFFIXES or _is_json_record(first) or _is_json_list(first, lines):
        return _json_records(path, lines)
    if suffix == ".csv" or _is_header(_comma_cells(first)):
        return _comma_records(path, lines)
    rows = [(n, line.split("\t")) for n, line in enumerate(lines, 1) if line.strip()]
    if rows and (_is_header(rows[0][1]) or _is_table([row for _, row in rows])):
        return _table(Form.TABS, rows)
    kept = tuple((n, (line.strip(),)) for n, line in enumerate(lines, 1) if line.strip())
    return Records(form=Form.LINES, header=None, rows=kept)


def _is_json_record(line: str) -> bool:
    """Whether the line is a JSON object, or a quoted string that JSON reads as one."""
    if not line.startswith(("{", '"')):
        return False
    try:
        return isinstance(json.loads(line), dict | str)
    except (ValueError, RecursionError):
        # A sentence may begin with a quotation mark; a brace in front of a key is meant as JSON.
        return line.startswith('{"')


def _is_json_list(first: str, lines: Sequence[str]) -> bool:
    if not first.startswith("["):
        return False
    try:
        return isinstance(json.loads("\n".join(lines)), list)
    except (ValueError, RecursionError):
        return False


def _json_records(path: Path, lines: Sequence[str]) -> Records:
    """JSON lines, or one list: of strings, or of objects of which the first says the columns."""
    form, values = _json_values(path, lines)
    if not values:
        return Records(form=form, header=None, rows=())
    first = values[0][1]
    for number, value in values:
        if not isinstance(value, dict | str) or type(value) is not type(first):
            raise DataError(
                f"{path}, record {number}",
                "is no sentence",
                got=printable(json.dumps(value)),
                need="a JSON string, or an object with a text, in every record alike",
            )
    if not isinstance(first, dict):
        texts = tuple((number, (str(value).strip(),)) for number, value in values)
        return Records(form=form, header=None, rows=texts)
    known = (*SENTENCE_FIELDS, *PAIR_FIELDS, SCORE_FIELD)
    names = {name.lower(): name for name in first}
    header = tuple(name for name in known if name in names) or tuple(names)
    rows = []
    for number, value in values:
        assert isinstance(value, dict)
        where = f"{path}, record {number}"
        missing = [names[name] for name in header if names[name] not in value]
        if missing:
            raise DataError(where, f"lacks {printable(missing[0])!r}")
        rows.append((number, tuple(_cell(where, n, value[names[n]]) for n in header)))
    return Records(form=form, header=header, rows=tuple(rows))


def _json_values(path: Path, lines: Sequence[str]) -> tuple[Form, list[tuple[int, object]]]:
    """The records with their numbers: of the line, or of the place in the list."""
    whole = "\n".join(lines)
    if whole.lstrip().startswith("["):
        found = _json_value(str(path), whole)
        assert isinstance(found, list)
        return Form.JSON_LIST, list(enumerate(found, 1))
    kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    return Form.JSON_LINES, [(n, _json_value(f"{path}, line {n}", line)) for n, line in kept]


def _json_value(where: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(
            where,
            "is not JSON",
            got=printable(text.strip()),
            need="one JSON string or object a line",
        ) from None


def _cell(where: str, name: str, value: object) -> str:
    """Text as it is, a number as text. A sentence must be text."""
    if isinstance(value, str):
        return value.strip()
    if name in (*SENTENCE_FIELDS, *PAIR_FIELDS):
        raise DataError(where, f"{name} is not text", got=printable(json.dumps(value)))
    return json.dumps(value)


def _comma_records(path: Path, lines: Sequence[str]) -> Records:
    reader = csv.reader(io.StringIO("\n".join(lines)), strict=True)
    rows = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((reader.line_num, row))
    except csv.Error as failure:
        raise DataError(f"{path}, line {reader.line_num}", f"is not CSV: {failure}") from None
    return _table(Form.COMMAS, rows)


def _comma_cells(line: str) -> list[str]:
    """The cells of a first line, of which a header has at least two."""
    cells = line.split(",")
    return cells if len(cells) > 1 else []


def _is_header(cells: Sequence[str]) -> bool:
    """Whether a first row names a column of sentences and nothing in it is empty."""
    names = [cell.strip().lower() for cell in cells]
    named = any(name in (*SENTENCE_FIELDS, *PAIR_FIELDS) for name in names)
    return len(names) > 1 and named and all(names)


def _is_table(rows: Sequence[Sequence[str]]) -> bool:
    """Whether every row has the same columns, more than one, and the table is no accident."""
    width = len(rows[0])
    return width > 1 and all(len(row) == width for row in rows)


def _table(form: Form, rows: Sequence[tuple[int, Sequence[str]]]) -> Records:
    header = None
    if rows:
        names = tuple(cell.strip().lower() for cell in rows[0][1])
        known = {*SENTENCE_FIELDS, *PAIR_FIELDS, SCORE_FIELD}
        if known & set(names):
            header, rows = names, rows[1:]
    kept = tuple((number, tuple(cell.strip() for cell in row)) for number, row in rows)
    return Records(form=form, header=header, rows=kept)


def sentence_columns(where: str, records: Records) -> tuple[int, ...]:
    """The columns that hold sentences. Raises DataError where that is not said."""
    header = records.header
    if header is None:
        if all(len(cells) == 1 for _, cells in records.rows):
            return (0,)
        if all(_is_bare_pair(cells) for _, cells in records.rows):
            return (0, 1)
        raise DataError(
            where,
            f"has {records.form}, and does not say which of them hold the sentences",
            need="one sentence per line, or a first row with text, or sentence1 and sentence2",
        )
    for names in (PAIR_FIELDS, *((name,) for name in SENTENCE_FIELDS)):
        if all(header.count(name) == 1 for name in names):
            return tuple(header.index(name) for name in names)
    one = [header.index(name) for name in PAIR_FIELDS if header.count(name) == 1]
    if one:
        return tuple(one)
    raise DataError(
        where,
        f"{records.form}: none of its fields is known to hold a sentence",
        got=", ".join(map(printable, header[:MOST_NAMED])),
        need="text, sentence, or sentence1 and sentence2",
    )


def _is_bare_pair(cells: Sequence[str]) -> bool:
    """Sentence, sentence, score."""
    if len(cells) != PAIR_COLUMNS:
        return False
    try:
        float(cells[2])
    except ValueError:
        return False
    return True


def text_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, without their ends. Raises DataError."""
    text = text_of(path, LARGEST_FILE_BYTES)
    # Not splitlines: it also splits at characters that stand inside sentences, such as U+2028.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def text_of(path: Path, most_bytes: int) -> str:
    """A UTF-8 text file as it is, but for the mark of its encoding. Raises DataError."""
    try:
        if not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            raise DataError(str(path), what, need="a text file in UTF-8")
        if (size := path.stat().st_size) > most_bytes:
            need = f"at most {most_bytes:,}"
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
    return text
