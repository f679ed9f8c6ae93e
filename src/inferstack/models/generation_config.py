"""What a model folder asks of the texts that the model writes: generation_config.json.

Folders without one have the same keys in config.json. num_beams is not read: no beams are searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile, read_object
from inferstack.models.text_tokenizer import GENERATION

MOST_WORDS = 2**20
UNSUPPORTED = (
    "encoder_repetition_penalty",
    "exponential_decay_length_penalty",
    "sequence_bias",
)
"""Would change the likeliest text, and are not done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """begin: the token that begins any text. start: the one that a decoder begins with.

    forced_first, forced_last: the first id that it writes, and the last where its length ends it.
    suppressed, suppressed_first: ids that are never written, or not first. bad_words: sequences of
    ids that are not. no_repeat: no sequence of so many ids twice, 0 is no rule; no_repeat_read:
    none of what an encoder read. penalty: what the scores of ids that stand there are divided by.
    shortest, shortest_new: no end token before so many ids, with `start` or, which goes before,
    without.
    """

    begin: int | None = None
    start: int | None = None
    forced_first: int | None = None
    forced_last: int | None = None
    suppressed: frozenset[int] = frozenset()
    suppressed_first: frozenset[int] = frozenset()
    bad_words: tuple[tuple[int, ...], ...] = ()
    no_repeat: int = 0
    no_repeat_read: int = 0
    penalty: float = 1.0
    shortest: int = 0
    shortest_new: int = 0


def read_rules(folder: Path, rows: int) -> Rules:
    """rows: of the vocabulary. Raises CheckpointError."""
    name = GENERATION
    content = read_object(folder, name)
    if content is None:
        name = "config.json"
        content = read_object(folder, name) or {}
    file = ConfigFile(str(folder / name), content)
    for key in UNSUPPORTED:
        if content.get(key) not in (None, 0, 1.0):
            raise CheckpointError(file.where, f"{key} is not supported")
    start = "decoder_start_token_id"
    if not file.has(start) and name == GENERATION:
        config = ConfigFile(str(folder / "config.json"), read_object(folder, "config.json") or {})
        begun = _id(config, start, rows)
    else:
        begun = _id(file, start, rows)
    new = file.whole_or("min_new_tokens", 0, MOST_WORDS, least=0)
    begin = _id(file, "bos_token_id", rows)
    return Rules(
        begin=begin,
        start=begin if begun is None else begun,
        forced_first=_id(file, "forced_bos_token_id", rows),
        forced_last=_id(file, "forced_eos_token_id", rows),
        suppressed=frozenset(_ids(file, "suppress_tokens")),
        suppressed_first=frozenset(_ids(file, "begin_suppress_tokens")),
        bad_words=_words(file),
        no_repeat=file.whole_or("no_repeat_ngram_size", 0, MOST_WORDS, least=0),
        no_repeat_read=file.whole_or("encoder_no_repeat_ngram_size", 0, MOST_WORDS, least=0),
        penalty=file.number_or("repetition_penalty", 1.0, 1e-6, 1e6),
        shortest=0 if new else file.whole_or("min_length", 0, MOST_WORDS, least=0),
        shortest_new=new,
    )


def _id(file: ConfigFile, key: str, rows: int) -> int | None:
    """A token of the vocabulary; of several the first."""
    value = file.content.get(key)
    if isinstance(value, list) and value:
        value = value[0]
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < rows:
        raise CheckpointError(
            file.where, f"{key} makes no sense", got=printable(str(value)),
            need=f"an id under {rows:,}",
        )  # fmt: skip
    return value


def _ids(file: ConfigFile, key: str) -> list[int]:
    """Several; one that the vocabulary lacks is never written anyway."""
    value = file.content.get(key) or []
    if not isinstance(value, list) or not all(type(one) is int for one in value):
        raise CheckpointError(file.where, f"{key} is no list of ids", got=printable(str(value)))
    return value


def _words(file: ConfigFile) -> tuple[tuple[int, ...], ...]:
    value = file.content.get("bad_words_ids") or []
    sound = isinstance(value, list) and all(
        isinstance(word, list) and word and all(type(one) is int for one in word) for word in value
    )
    if not isinstance(value, list) or not sound:
        raise CheckpointError(
            file.where, "bad_words_ids is no list of words", got=printable(str(value))
        )
    return tuple(map(tuple, value))
