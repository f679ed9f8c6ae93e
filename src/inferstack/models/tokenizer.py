"""`SentenceTokenizer`: sentences to the arrays that a graph takes, by a folder's tokenizer.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError, DataError
from inferstack.core.text import one_slip, printable
from inferstack.models.config_file import (
    ConfigFile,
    folder_file,
    parse_json,
    read_bytes,
    read_object,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FILE = "tokenizer.json"
SENTENCE_CONFIG = "sentence_bert_config.json"
LARGEST_FILE_BYTES = 2**28
TABLES = ("vocab", "merges")
"""Their keys are words."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentenceTokenizer:
    """Cuts and pads sentences to `tokens` tokens.

    inputs: the arrays that the graph takes. rows: by input, those of the table that it picks from.
    prompt: stands before every sentence.
    """

    tokenizer: Any
    path: Path
    inputs: tuple[str, ...]
    rows: Mapping[str, int]
    tokens: int
    prompt: str = ""

    def encode(self, sentences: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
        """An int64 array (sentences, tokens) per input.

        Raises DataError without sentences or for what is no text, CheckpointError where
        tokenizer.json cannot split one or gives an id that a table lacks.
        """
        import numpy as np

        if not sentences:
            raise DataError("tokenizer", "there are no sentences", need="at least 1")
        encoded = self._encoded(sentences)
        columns = {
            "ids": lambda e: e.ids,
            "token_type_ids": lambda e: e.type_ids,
            "mask": lambda e: e.attention_mask,
        }
        arrays = {
            name: np.array([columns[name](e) for e in encoded], dtype=np.int64)
            for name in self.inputs
        }
        for name, rows in self.rows.items():
            # Special tokens have ids that stand in no vocabulary.
            if (largest := int(arrays[name].max())) >= rows:
                raise foreign_ids(self.path, name, largest, rows)
        return arrays

    def truncated(self, sentences: Sequence[str]) -> int:
        """How many sentences are longer than `tokens` and lose their end."""
        return sum(bool(e.overflowing) for e in self._encoded(sentences))

    def _encoded(self, sentences: Sequence[str]) -> list[Any]:
        for sentence in sentences:
            if not isinstance(sentence, str) or not has_utf8(sentence):
                got = ascii(sentence)[:60]
                raise DataError("tokenizer", "a sentence is no text", got=got, need="Unicode text")
        with library_errors(self.path, "cannot split a sentence"):
            encoded: list[Any] = self.tokenizer.encode_batch(
                [self.prompt + sentence for sentence in sentences]
            )
        return encoded


def load_tokenizer(
    folder: Path,
    inputs: tuple[str, ...],
    *,
    tokens: int,
    rows: Mapping[str, int],
    padding_id: int,
    prompt: str = "",
) -> SentenceTokenizer:
    """The tokenizer of a model folder.

    rows: by input, those of the embedding table, which no id may pass. padding_id: fills short
    sentences. prompt: stands before every sentence. Raises CheckpointError.
    """
    path = folder_file(folder, FILE)
    if path is None:
        raise CheckpointError(
            str(folder),
            f"has no {FILE}",
            hint="AutoTokenizer.from_pretrained(...).save_pretrained(folder) of transformers "
            "writes it; vocab.txt alone does not say how text is split",
        )
    _check_sentence_config(folder)
    tokenizer = parsed_tokenizer(path)
    words = tokenizer.get_vocab(with_added_tokens=True)
    if (largest := max(words.values(), default=-1)) >= rows["ids"]:
        raise foreign_ids(path, "ids", largest, rows["ids"])
    with library_errors(path, "cannot be used"):
        special = tokenizer.num_special_tokens_to_add(is_pair=False)
    if tokens <= special:
        raise CheckpointError(
            str(path),
            "the sequence has no room for a word",
            got=f"{tokens} tokens",
            need=f"more than the {special} special tokens of each sentence",
        )
    padding = tokenizer.id_to_token(padding_id)
    if padding is None:
        raise CheckpointError(str(path), "does not know the padding id", got=padding_id)
    with library_errors(path, "cannot be used"):
        tokenizer.enable_truncation(tokens)
        tokenizer.enable_padding(length=tokens, pad_id=padding_id, pad_token=padding)
    made = SentenceTokenizer(
        tokenizer=tokenizer, path=path, inputs=inputs, rows=rows, tokens=tokens, prompt=prompt
    )
    # What cannot split one word fails here, not after the calibration.
    made.encode(["a"])
    return made


def _check_sentence_config(folder: Path) -> None:
    """A sentence encoder may ask for lower case in front of its tokenizer."""
    content = read_object(folder, SENTENCE_CONFIG)
    if content is not None:
        ConfigFile(str(folder / SENTENCE_CONFIG), content).only("do_lower_case", False)


def parsed_tokenizer(path: Path) -> Any:
    """tokenizer.json as the `tokenizers` library reads it, which takes keys that it ignores."""
    from tokenizers import Tokenizer

    raw = read_bytes(path, LARGEST_FILE_BYTES)
    with library_errors(path, "is not a tokenizer of the library `tokenizers`"):
        tokenizer = Tokenizer.from_buffer(raw)
        kept = json.loads(tokenizer.to_str())
    _check_taken(path, parse_json(str(path), raw), kept, "")
    return tokenizer


def _check_taken(path: Path, own: object, kept: object, place: str) -> None:
    """Raises CheckpointError for a misspelt key: it is lost, and the one that was meant is not.

    own, kept: a part of the file, and of what the library writes once it has read it.
    """
    if isinstance(own, list) and isinstance(kept, list) and len(own) == len(kept):
        for number, (mine, theirs) in enumerate(zip(own, kept, strict=True)):
            _check_taken(path, mine, theirs, f"{place}{number}.")
    if not isinstance(own, dict) or not isinstance(kept, dict):
        return
    missing = [key for key in kept if key not in own]
    for key, value in own.items():
        if key in kept and key not in TABLES:
            _check_taken(path, value, kept[key], f"{place}{key}.")
        for meant in missing if key not in kept else ():
            if one_slip(key, meant):
                raise CheckpointError(
                    str(path), f"has the unknown key '{place}{printable(key)}'", need=repr(meant),
                    hint="a misspelt key would be ignored",
                )  # fmt: skip


@contextmanager
def library_errors(path: Path, what: str) -> Iterator[None]:
    """Failures of the library `tokenizers` as a CheckpointError.

    It raises plain Exception, and its panics are no Exception at all.
    """
    try:
        yield
    except BaseException as failure:
        if not isinstance(failure, Exception) and type(failure).__module__ != "pyo3_runtime":
            raise
        text = str(failure).removeprefix("Cannot instantiate Tokenizer from buffer: ")
        reason = next(iter(text.splitlines()), type(failure).__name__)
        raise CheckpointError(str(path), what, got=printable(reason, 160)) from None


def foreign_ids(path: Path, name: str, largest: int, rows: int) -> CheckpointError:
    return CheckpointError(
        str(path),
        f"has {name} that the embedding table lacks",
        got=f"the id {largest:,}",
        need=f"ids under {rows:,}, the rows of the table",
        hint="tokenizer and weights belong to different models",
    )


def has_utf8(text: str) -> bool:
    """Whether it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
