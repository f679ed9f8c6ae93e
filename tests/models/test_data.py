"""Files of sentences and pairs: what is read, and what the user is told about what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstack.core.errors import DataError
from inferstack.models.data import LARGEST_FILE_BYTES, Pairs, read_pairs, read_sentences, read_texts

HEADER = "genre\tscore\tsentence1\tsentence2\n"
NEED_TEXT = "need a text file in UTF-8"
TABS = "the columns are separated by one tab each, not by commas or spaces"


def written(tmp_path: Path, content: str | bytes) -> Path:
    """A file with this content."""
    path = tmp_path / "data.tsv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_sentences_are_the_lines_that_are_not_blank(tmp_path: Path) -> None:
    text = "\ufeffOne sentence.\r\n\n  \t\n Two\u2028parts \rÜber naïve 猫\n"
    assert read_sentences(written(tmp_path, text)) == (
        "One sentence.",
        "Two\u2028parts",
        "Über naïve 猫",
    )


@pytest.mark.parametrize(
    "text",
    [
        "a\tb\t1\nc\td\t2.5",
        "a\tb\t1\r\n\r\n c \td\t 2.5 \r\n",
        "sentence1\tsentence2\tscore\na\tb\t1\nc\td\t2.5\n",
        "Premise\tOther\tScore\na\tb\t1\nc\td\t2.5\n",
        f"{HEADER}x\t1\ta\tb\ny\t2.5\tc\td\tmore\n",
    ],
    ids=["bare", "spaced", "header", "other header", "columns by name"],
)
def test_pairs_are_read_by_place_or_by_header(text: str, tmp_path: Path) -> None:
    expected = Pairs(first=("a", "c"), second=("b", "d"), scores=(1.0, 2.5))
    assert read_pairs(written(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": has no sentences; need one sentence per line"),
        (" \n\t\n\n", ": has no sentences; need one sentence per line"),
        (
            b"fine\ncaf\xe9\n",
            ", line 2: is not UTF-8 (byte 8)\n\nhint: save the file with the encoding UTF-8",
        ),
        (
            "a\nb\n".encode("utf-16"),
            ", line 1: is not UTF-8 (byte 0)\n\nhint: save the file with the encoding UTF-8",
        ),
        (
            "a\nb\n".encode("utf-16-le"),
            ", line 1: is not UTF-8 (byte 1)\n\nhint: save the file with the encoding UTF-8",
        ),
    ],
    ids=["empty", "blank", "latin-1", "utf-16", "utf-16 without mark"],
)
def test_wrong_sentences_are_one_clear_message(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_sentences(path)
    assert str(caught.value) == f"{path}{message}"
    assert caught.value.exit_code == 2


def wrong_columns(row: int, got: int) -> str:
    """The message for a row without its three columns."""
    need = "3 separated by tabs: sentence, sentence, score"
    what = "has the wrong number of columns"
    return f", row {row}: {what}; got {got}, need {need}\n\nhint: {TABS}"


WRONG_HEADER = ", header: does not say which columns hold the sentences; got "
NO_PAIRS = ": has no sentence pairs; need sentence, sentence, score a row"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", NO_PAIRS),
        ("sentence1\tsentence2\tscore\n", NO_PAIRS),
        (
            "a\tb\t1\none column\n",
            wrong_columns(2, 1),
        ),
        (
            "a,b,1\n",
            wrong_columns(1, 1),
        ),
        (
            "a\tb\t1\tx\n",
            wrong_columns(1, 4),
        ),
        (
            f"{HEADER}x\t1\ta\n",
            (
                ", row 2: has the wrong number of columns; got 3, need 4 at least, as the header "
                f"says\n\nhint: {TABS}"
            ),
        ),
        ("a\tb\tmuch\n", ", row 1: the score is no number; got 'much', need such as 3.5"),
        ("a\tb\t1\na\tb\t\n", ", row 2: the score is no number; got '', need such as 3.5"),
        ("a\tb\tnan\n", ", row 1: the score is no number; got 'nan', need such as 3.5"),
        ("a\tb\t1\na\tb\t-inf\n", ", row 2: the score is no number; got '-inf', need such as 3.5"),
        ("a\tb\t\x1b[1m\n", ", row 1: the score is no number; got '\\x1b[1m', need such as 3.5"),
        ("a\t \t1\n", ", row 1: has an empty sentence"),
        ("a\tb\t1\n\t\t\n", ", row 2: has an empty sentence"),
        (
            "score\tone\ttwo\n1\ta\tb\n",
            WRONG_HEADER + "score, one, two, need sentence1, sentence2 and score once each",
        ),
        (
            "sentence1\tscore\tsentence2\tscore\na\t1\tb\t2\n",
            WRONG_HEADER
            + "sentence1, score, sentence2, score, need sentence1, sentence2 and score once each",
        ),
    ],
)
def test_wrong_pairs_are_one_clear_message(content: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_pairs(path)
    assert str(caught.value) == f"{path}{message}"


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    endless = tmp_path / ("n" * 300)
    for path, what in (
        (tmp_path, f"is not a file; {NEED_TEXT}"),
        (tmp_path / "none.txt", f"does not exist; {NEED_TEXT}"),
        (endless, "cannot be read; got File name too long"),
    ):
        for read in (read_sentences, read_pairs):
            with pytest.raises(DataError) as caught:
                read(path)
            assert str(caught.value) == f"{path}: {what}"


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE_BYTES + 1)
    with pytest.raises(DataError, match="is too large; got 1,073,741,825 bytes, need at most"):
        read_sentences(path)


@given(st.binary(max_size=40) | st.text("ab1\t\n\r .,-e", max_size=40).map(str.encode))
def test_any_bytes_give_pairs_or_one_message(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = written(tmp_path_factory.mktemp("fuzz"), content)
    try:
        pairs = read_pairs(path)
    except DataError:
        return
    assert len(pairs.first) == len(pairs.second) == len(pairs.scores) > 0
    assert all(pairs.first)
    assert all(pairs.second)


NEED_FIELD = "need text, sentence, or sentence1 and sentence2"
NEED_RECORD = "need a JSON string, or an object with a text, in every record alike"
NEED_OTHERS = "need different sentences"
UNSAID = (
    "and does not say which of them hold the sentences; need one sentence per line, or a first "
    "row with text, or sentence1 and sentence2"
)
TWO = ("the cat sat", "the dog ran")


@pytest.mark.parametrize(
    ("name", "content", "read_as"),
    [
        ("x.txt", "the cat sat\nthe dog ran\n", "one sentence per line"),
        ("x.jsonl", '"the cat sat"\n\n"the dog ran"\n', "JSON lines"),
        ("x.txt", '{"text": "the cat sat", "n": 1}\n{"text": "the dog ran"}', "JSON lines, text"),
        (
            "x.jsonl",
            '{"sentence1": "the cat sat", "score": 1}\n{"sentence1": "the dog ran", "score": 2}\n',
            "JSON lines, sentence1",
        ),
        ("x.json", '[\n "the cat sat",\n "the dog ran"\n]', "a JSON list"),
        (
            "x.txt",
            f"{HEADER}x\t3.0\tthe cat sat\tthe dog ran\n",
            "columns separated by tabs, sentence1 and sentence2",
        ),
        ("x", "the cat sat\tthe dog ran\t3.5\n", "columns separated by tabs, the first two"),
        (
            "x.csv",
            'text,n\n"the cat sat",1\nthe dog ran,2\n',
            "columns separated by commas (CSV), text",
        ),
        (
            "x.txt",
            "sentence1,sentence2,score\nthe cat sat,the dog ran,1\n",
            "columns separated by commas (CSV), sentence1 and sentence2",
        ),
    ],
)
def test_a_file_of_sentences_is_read_as_what_it_is(
    name: str, content: str, read_as: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(content)
    texts = read_texts(path)
    assert (texts.sentences, texts.read_as) == (TWO, read_as)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "x.jsonl",
            '{"a": "b"}\n',
            f": JSON lines: none of its fields is known to hold a sentence; got a, {NEED_FIELD}",
        ),
        (
            "x.jsonl",
            '"a"\nb\n',
            ", line 2: is not JSON; got b, need one JSON string or object a line",
        ),
        (
            "x.jsonl",
            '"a"\n3\n',
            f", record 2: is no sentence; got 3, {NEED_RECORD}",
        ),
        ("x.json", '{"text": 3}', ", record 1: text is not text; got 3"),
        ("x.jsonl", '{"text": "a"}\n{"txt": "b"}', ", record 2: lacks 'text'"),
        ("x", "a\tb\nc\td\n", f": has columns separated by tabs, {UNSAID}"),
        ("x.csv", "a,b\nc,d\n", f": has columns separated by commas (CSV), {UNSAID}"),
        (
            "x",
            "same\nsame\nsame\n",
            f": has the same sentence again and again; got 3 times 'same', {NEED_OTHERS}",
        ),
        ("x.jsonl", "\n", ": has no sentences; need one sentence per line"),
    ],
)
def test_what_does_not_say_its_sentences_is_refused(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        read_texts(path)
    assert str(caught.value) == f"{path}{message}"


def test_quotation_marks_and_tabs_do_not_make_a_text_into_data(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text('"Yes," she said.\n[sic] and, moreover, text\none\ttab\n{not} json\n')
    assert read_texts(path).read_as == "one sentence per line"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", 'sentence1,sentence2,score\n"a, a",b,1\n'),
        ("x.jsonl", '{"sentence1": "a, a", "sentence2": "b", "score": 1}\n'),
    ],
)
def test_pairs_come_as_csv_and_json_too(name: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert read_pairs(path) == Pairs(first=("a, a",), second=("b",), scores=(1.0,))
