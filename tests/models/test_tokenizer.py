"""Sentences to ids: as transformers' own tokenizer, and what a wrong tokenizer.json leads to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inferstack.core.errors import CheckpointError, DataError
from inferstack.models.hugging_face import load_checkpoint
from inferstack.models.tokenizer import LARGEST_FILE_BYTES, SentenceTokenizer, load_tokenizer

from .conftest import TINY, TinyCheckpoint

TEXTS = (
    "",
    " \t\n ",
    "A cat sat on the mat.",
    "Ünïcödé naïve ﬁancée, İstanbul STRASSE straße",
    "日本語の文と 中文 and 한국어",
    "e\u0301 versus \u00e9, zero\u200bwidth, soft\u00adhyphen, \u202eright to left",
    "👩‍👩‍👧‍👦 emoji 🏳️‍🌈 and ☃",
    "control \x00\x07\x1b[31m characters \ufffd and \u2028 lines",
    "[CLS] [SEP] [MASK] [PAD] <s> </s> <pad> <unk>",
    "pneumonoultramicroscopicsilicovolcanoconiosis " + "x" * 300,
    "1,234.56 €5 50% #hash @at don't can't won't -- ... ?!",
    "word " * 400,
)


def same_ids(ours: SentenceTokenizer, theirs: Any, texts: Sequence[str]) -> None:
    """Ids, types and mask are equal, padded and cut alike."""
    expected = theirs(
        list(texts),
        padding="max_length",
        truncation=True,
        max_length=ours.tokens,
        return_token_type_ids=True,
        return_attention_mask=True,
        return_tensors="np",
    )
    names = {"ids": "input_ids", "token_type_ids": "token_type_ids", "mask": "attention_mask"}
    arrays = ours.encode(texts)
    assert tuple(arrays) == ours.inputs
    for name, values in arrays.items():
        assert values.dtype == np.int64
        assert np.array_equal(values, expected[names[name]]), name


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [3, 16, 128])
def test_the_samples_ids_are_those_of_transformers(sample_folder: Path, tokens: int) -> None:
    transformers = pytest.importorskip("transformers")
    ours = load_checkpoint(sample_folder, seq_len=tokens).tokenizer
    same_ids(ours, transformers.AutoTokenizer.from_pretrained(sample_folder), TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(TINY))
def test_tiny_tokenizers_give_the_ids_of_transformers(kind: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tiny = TINY[kind](tmp_path / "tiny")
    ours = tiny.load(16).tokenizer
    padding = "<pad>" if kind == "roberta" else "[PAD]"
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tiny.folder / "tokenizer.json"), pad_token=padding
    )
    same_ids(ours, theirs, TEXTS)


def test_sentences_are_cut_and_padded_to_the_length(bert: TinyCheckpoint) -> None:
    tokenizer = bert.load(6).tokenizer
    arrays = tokenizer.encode(["the cat", "", "a cat sat on the mat"])
    assert arrays["ids"].tolist() == [[2, 9, 5, 3, 0, 0], [2, 3, 0, 0, 0, 0], [2, 4, 5, 7, 8, 3]]
    assert arrays["mask"].sum(axis=1).tolist() == [4, 2, 6]
    assert not arrays["token_type_ids"].any()
    assert tokenizer.truncated(["the cat", "", "a cat sat on the mat"]) == 1


def test_roberta_has_no_types_and_pads_with_its_own_id(roberta: TinyCheckpoint) -> None:
    arrays = roberta.load(6).tokenizer.encode(["cat"])
    assert list(arrays) == ["ids", "mask"]
    assert arrays["ids"].tolist() == [[0, 261, 2, 1, 1, 1]]


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ([], "tokenizer: there are no sentences; need at least 1"),
        (["\ud800"], "tokenizer: a sentence is no text; got '\\ud800', need Unicode text"),
        ([None], "tokenizer: a sentence is no text; got None, need Unicode text"),
    ],
)
def test_what_is_no_text_is_said(sentences: list[str], message: str, bert: TinyCheckpoint) -> None:
    with pytest.raises(DataError) as caught:
        bert.load().tokenizer.encode(sentences)
    assert str(caught.value) == message


def message(folder: Path, seq_len: int = 8) -> str:
    """What the user reads when the folder is loaded."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder, seq_len=seq_len)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_folder_without_tokenizer_is_said(bert: TinyCheckpoint) -> None:
    folder = bert.write()
    folder.joinpath("tokenizer.json").unlink()
    folder.joinpath("vocab.txt").touch()
    assert message(folder) == (
        f"{folder}: has no tokenizer.json\n\n"
        "hint: AutoTokenizer.from_pretrained(...).save_pretrained(folder) of transformers writes "
        "it; vocab.txt alone does not say how text is split"
    )


def test_a_sequence_without_room_for_a_word_is_said(bert: TinyCheckpoint) -> None:
    assert message(bert.write(), seq_len=2) == (
        f"{bert.folder}/tokenizer.json: the sequence has no room for a word; got 2 tokens, need "
        "more than the 2 special tokens of each sentence"
    )


NO_TOKENIZER = "is not a tokenizer of the library `tokenizers`; got "


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", f"{NO_TOKENIZER}EOF while parsing a value at line 1 column 0"),
        (b"{}", f"{NO_TOKENIZER}Model missing. at line 1 column 2"),
        (b"\xff\xfe", f"{NO_TOKENIZER}expected value at line 1 column 1"),
    ],
)
def test_a_file_that_is_no_tokenizer_is_said(
    content: bytes, what: str, bert: TinyCheckpoint
) -> None:
    path = bert.write() / "tokenizer.json"
    path.write_bytes(content)
    assert message(bert.folder) == f"{path}: {what}"


def test_a_tokenizer_without_end_is_not_read(bert: TinyCheckpoint) -> None:
    path = bert.write() / "tokenizer.json"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE_BYTES + 1)
    expected = f"{path}: is too large; got 268,435,457 bytes, need at most 268,435,456"
    assert message(bert.folder) == expected


def foreign(name: str, largest: int, rows: int) -> str:
    """The message for an id that no row of the table has."""
    need = f"ids under {rows}, the rows of the table"
    what = f"has {name} that the embedding table lacks; got the id {largest}, need {need}"
    return f"{what}\n\nhint: tokenizer and weights belong to different models"


def template(special: int, type_id: int) -> dict[str, Any]:
    """A post-processor that puts a token of any id in front, and types of any id behind it."""
    return {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "X", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": type_id}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"X": {"id": "X", "ids": [special], "tokens": ["X"]}},
    }


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (
            lambda t: t["model"]["vocab"].update(unheard=99),
            foreign("ids", 99, 21),
        ),
        (
            lambda t: t.update(post_processor=template(77, 0)),
            foreign("ids", 77, 21),
        ),
        (
            lambda t: t.update(post_processor=template(2, 5)),
            foreign("token_type_ids", 5, 2),
        ),
        (
            lambda t: (t["model"]["vocab"].pop("[UNK]"), t["added_tokens"].pop(1)),
            "cannot split a sentence; got WordPiece error: Missing [UNK] token from the vocabulary",
        ),
        (
            lambda t: (t["model"]["vocab"].pop("[PAD]"), t["added_tokens"].pop(0)),
            "does not know the padding id; got 0",
        ),
    ],
)
def test_a_tokenizer_of_another_model_is_said(
    edit: Callable[[dict[str, Any]], object], what: str, bert: TinyCheckpoint
) -> None:
    bert.tokenizer["model"]["vocab"].pop("a")
    bert.tokenizer["model"]["vocab"].update(b=4)
    edit(bert.tokenizer)
    bert.write()
    assert message(bert.folder) == f"{bert.folder}/tokenizer.json: {what}"


def test_a_panic_of_the_library_is_one_message(
    bert: TinyCheckpoint, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its panics are no Exception; what it writes to stderr itself is out of our hands."""
    broken = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    path = bert.write() / "tokenizer.json"
    path.write_text(json.dumps(bert.tokenizer | {"normalizer": broken}), encoding="utf-8")
    start = f"{path}: {NO_TOKENIZER}"
    assert message(bert.folder).startswith(start)
    assert "panicked" in capfd.readouterr().err


def test_an_interrupt_is_no_fault_of_the_file(
    bert: TinyCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tokenizers

    class Interrupted:
        @staticmethod
        def from_buffer(raw: bytes) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(tokenizers, "Tokenizer", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_tokenizer(bert.write(), ("ids",), tokens=8, rows={"ids": 21}, padding_id=0)


@pytest.mark.parametrize(
    ("place", "wrong"),
    [(("normalizer",), "strip_acents"), (("model",), "tpye")],
)
def test_a_misspelt_key_is_not_ignored(
    place: tuple[str, ...], wrong: str, bert: TinyCheckpoint
) -> None:
    meant = {"strip_acents": "strip_accents", "tpye": "type"}[wrong]
    part = bert.tokenizer
    for key in place:
        part = part[key]
    part[wrong] = part.pop(meant)
    with pytest.raises(CheckpointError, match=f"unknown key .*{wrong}'; need '{meant}'"):
        bert.load()


def test_a_key_that_stands_twice_is_refused(bert: TinyCheckpoint) -> None:
    bert.write()
    path = bert.folder / "tokenizer.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"normalizer":', '"normalizer": null, "normalizer":'))
    with pytest.raises(CheckpointError, match="names the key 'normalizer' twice"):
        load_checkpoint(bert.folder, seq_len=8)
