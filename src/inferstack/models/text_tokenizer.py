"""`TextTokenizer`: a decoder's text to ids and back, by the folder's tokenizer.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inferstack.core.errors import CheckpointError, DataError, InputError
from inferstack.models.chat import ChatTemplate, read_chat_template
from inferstack.models.config_file import ConfigFile, folder_file, read_object
from inferstack.models.tokenizer import (
    FILE,
    foreign_ids,
    has_utf8,
    library_errors,
    parsed_tokenizer,
)

GENERATION = "generation_config.json"
REPLACEMENT = "\ufffd"
"""What bytes that are no whole character decode to."""
LONGEST_CHARACTER = 4
"""Bytes of UTF-8, and so tokens that a character may be spread over."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextTokenizer:
    """tokenizer: of the library `tokenizers`. where: its file, for messages. rows: of the embedding
    table. end_ids: tokens that end a text. chat: the template of a conversation, if there is one.
    """

    tokenizer: Any
    where: str
    rows: int
    end_ids: frozenset[int]
    chat: ChatTemplate | None = None

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The ids of a text; special: with the tokens that the tokenizer adds to every text.

        Raises DataError for what is no text, CheckpointError for an id that the table lacks.
        """
        if not isinstance(text, str) or not has_utf8(text):
            got = ascii(text)[:60]
            raise DataError("tokenizer", "this is no text", got=got, need="Unicode text")
        with library_errors(Path(self.where), "cannot split a text"):
            ids: list[int] = self.tokenizer.encode(text, add_special_tokens=special).ids
        if ids and (largest := max(ids)) >= self.rows:
            raise foreign_ids(Path(self.where), "ids", largest, self.rows)
        return ids

    def word(self, flag: str, text: str) -> int:
        """The id of a token by its own text. Raises InputError."""
        found = self.tokenizer.token_to_id(text) if isinstance(text, str) else None
        if found is None or found >= self.rows:
            raise InputError(
                flag, "is no token of the model", got=ascii(text)[:40],
                need="a token by its text, such as eng_Latn",
            )  # fmt: skip
        return int(found)

    def with_language(
        self, flag: str, ids: Sequence[int], language: int, begin: int | None
    ) -> list[int]:
        """Ids of a text with another language's token for the one that the tokenizer adds to every
        text beside `begin` and the end. Raises InputError where it adds none."""
        own = [one for one in self.encode("") if one not in self.end_ids and one != begin]
        if len(own) != 1:
            raise InputError(flag, "the tokenizer puts no language beside a text")
        return [language if one == own[0] else one for one in ids]

    def encode_chat(self, message: str) -> list[int]:
        """The ids of a conversation that begins with this message of the user.

        Raises CheckpointError where the folder has no template, or one that fails.
        """
        if self.chat is None:
            raise CheckpointError(
                self.where, "the model has no chat template",
                need="chat_template in tokenizer_config.json, chat_template.jinja, or "
                "tokenizer.chat_template of a GGUF file",
                hint="leave --chat out: the model then continues the text",
            )  # fmt: skip
        text = self.chat.render([{"role": "user", "content": message}])
        return self.encode(text, special=False)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens left out."""
        with library_errors(Path(self.where), "cannot join tokens"):
            return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))


@dataclass(slots=True)
class TextStream:
    """Ids to text as they come: only whole characters leave, and all that left is the text.

    A token's text may depend on the one before it (a space in front of words), so each is decoded
    together with what left last and was not empty.
    """

    tokenizer: TextTokenizer
    ids: list[int] = field(default_factory=list)
    _start: int = 0
    _left: int = 0

    def push(self, token: int) -> str:
        """The text that is whole now; empty inside of a character."""
        self.ids.append(token)
        return self._take(self._new())

    def finish(self) -> str:
        """What is left: the bytes of a broken character as U+FFFD."""
        return self._take(self._new(), whole=True)

    def _new(self) -> str:
        decode = self.tokenizer.decode
        before, now = decode(self.ids[self._start : self._left]), decode(self.ids[self._start :])
        return now[len(before) :]

    def _take(self, text: str, *, whole: bool = False) -> str:
        waiting = len(self.ids) - self._left
        if text.endswith(REPLACEMENT) and waiting < LONGEST_CHARACTER and not whole:
            return ""
        if text:
            self._start = self._left
        self._left = len(self.ids)
        return text


def load_text_tokenizer(folder: Path, rows: int) -> TextTokenizer:
    """The tokenizer of a decoder's folder. rows: of its embedding table. Raises CheckpointError."""
    path = folder_file(folder, FILE)
    if path is None:
        raise CheckpointError(
            str(folder),
            f"has no {FILE}",
            hint="AutoTokenizer.from_pretrained(...).save_pretrained(folder) of transformers "
            "writes it",
        )
    tokenizer = parsed_tokenizer(path)
    # A file may ask for padding or truncation, which are of batches and not of a text.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return TextTokenizer(
        tokenizer=tokenizer,
        where=str(path),
        rows=rows,
        end_ids=read_end_ids(folder, rows),
        chat=read_chat_template(folder),
    )


def read_end_ids(folder: Path, rows: int) -> frozenset[int]:
    """eos_token_id of generation_config.json, else of config.json; none where neither has it."""
    for name in (GENERATION, "config.json"):
        content = read_object(folder, name)
        if content is None:
            continue
        file = ConfigFile(str(folder / name), content)
        said = file.optional("eos_token_id", None)
        if said is None:
            continue
        several: list[Any] = said if isinstance(said, list) else [said]
        # transformers writes -1 for a model that has none.
        if not all(type(one) is int and -1 <= one < rows for one in several):
            need = f"an id under {rows:,}, or several"
            raise CheckpointError(
                file.where, "eos_token_id makes no sense", got=str(said)[:60], need=need
            )
        return frozenset(one for one in several if one >= 0)
    return frozenset()
