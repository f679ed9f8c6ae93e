"""`SentenceTokenizer`: sentences to the arrays that a graph takes, by a folder's tokenizer.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError, DataError
from inferstack.models.config_file import folder_file, read_bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FILE = "tokenizer.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentenceTokenizer:
    """Cuts and pads sentences to `tokens` tokens. inputs: the arrays that the graph takes."""

    tokenizer: Any
    inputs: tuple[str, ...]
    tokens: int

    def encode(self, sentences: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
        """An int64 array (sentences, tokens) per input. Raises DataError without sentences."""
        import numpy as np

        if not sentences:
            raise DataError("tokenizer", "there are no sentences", need="at least 1")
        encoded = self.tokenizer.encode_batch(list(sentences))
        columns = {
            "ids": lambda e: e.ids,
            "token_type_ids": lambda e: e.type_ids,
            "mask": lambda e: e.attention_mask,
        }
        return {
            name: np.array([columns[name](e) for e in encoded], dtype=np.int64)
            for name in self.inputs
        }

    def truncated(self, sentences: Sequence[str]) -> int:
        """How many sentences are longer than `tokens` and lose their end."""
        return sum(bool(e.overflowing) for e in self.tokenizer.encode_batch(list(sentences)))


def load_tokenizer(
    folder: Path, inputs: tuple[str, ...], *, tokens: int, vocabulary: int, padding_id: int
) -> SentenceTokenizer:
    """The tokenizer of a model folder.

    vocabulary: rows of the embedding table, which no id may pass. padding_id: fills short
    sentences. Raises CheckpointError.
    """
    path = folder_file(folder, FILE)
    if path is None:
        raise CheckpointError(
            str(folder),
            f"has no {FILE}",
            hint="AutoTokenizer.from_pretrained(...).save_pretrained(folder) of transformers "
            "writes it; vocab.txt alone does not say how text is split",
        )
    tokenizer = _parsed(path)
    words = tokenizer.get_vocab(with_added_tokens=True)
    largest = max(words.values(), default=-1)
    if largest >= vocabulary:
        raise CheckpointError(
            str(path),
            "has ids that the embedding table lacks",
            got=f"the id {largest:,}",
            need=f"ids under {vocabulary:,}, the vocab_size of config.json",
            hint="tokenizer and weights belong to different models",
        )
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
    tokenizer.enable_truncation(tokens)
    tokenizer.enable_padding(length=tokens, pad_id=padding_id, pad_token=padding)
    return SentenceTokenizer(tokenizer=tokenizer, inputs=inputs, tokens=tokens)


def _parsed(path: Path) -> Any:
    """tokenizer.json as the `tokenizers` library reads it."""
    from tokenizers import Tokenizer

    raw = read_bytes(path)
    try:
        return Tokenizer.from_buffer(raw)
    except Exception as failure:  # noqa: BLE001 the library raises plain Exception and ValueError
        raise CheckpointError(
            str(path),
            "is not a tokenizer of the library `tokenizers`",
            got=str(failure).splitlines()[0][:120],
        ) from None
