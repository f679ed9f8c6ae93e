"""`Generation`: a text that a decoder writes, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Protocol

import numpy.typing as npt

from inferstack.core.errors import InputError
from inferstack.generate.rules import ruled
from inferstack.generate.runner import Sequence as Text
from inferstack.generate.sampling import Sampler, Sampling
from inferstack.models.description import Description
from inferstack.models.generation_config import Rules
from inferstack.models.scenario import check_size
from inferstack.models.text_tokenizer import TextStream, TextTokenizer

Array = npt.NDArray[Any]


class Ending(StrEnum):
    """Why a text ends."""

    TOKEN = "end token"
    """The model says so."""
    STOP = "stop string"
    LENGTH = "length"
    """It has as many tokens as were asked for, or as the model has positions for."""


class Begins(Protocol):
    """Where a text begins: a decoder, or what an encoder made for one."""

    @property
    def description(self) -> Description:
        """Of the decoder."""

    @property
    def read_tokens(self) -> int:
        """Of what the encoder read."""

    @property
    def read_ids(self) -> tuple[int, ...]:
        """Those of a text that the encoder read."""

    def start(self, capacity: int) -> Text:
        """A text of at most so many tokens."""


class Generation:
    """Iterate to get the text; pieces leave as soon as no stop string can begin in them.

    prompt: ids in front of it. read_tokens: of what an encoder read, if there is one. ids: those
    written so far, with the end token, if it came. ending: once it is over.
    """

    def __init__(
        self,
        model: Begins,
        tokenizer: TextTokenizer,
        prompt: Sequence[int],
        *,
        max_tokens: int,
        sampling: Sampling,
        stop: Sequence[str] = (),
        rules: Rules | None = None,
    ) -> None:
        """Raises InputError for a prompt that is empty or too long, and for an empty stop string.

        max_tokens: to write at most; fewer where the model's positions end before.
        """
        check_size("--max-tokens", max_tokens)
        if isinstance(stop, str) or not all(isinstance(s, str) and s for s in stop):
            need = "texts of at least one character"
            raise InputError("--stop", "makes no sense", got=repr(stop)[:60], need=need)
        longest = model.description.longest
        if not prompt:
            raise InputError("--prompt", "has no tokens", need="at least 1")
        if len(prompt) >= longest:
            got, need = f"{len(prompt):,} tokens", f"fewer than {longest:,}, the model's positions"
            raise InputError("--prompt", "leaves no room to go on", got=got, need=need)
        self.read_tokens = model.read_tokens
        self.prompt, self.ids = tuple(prompt), list[int]()
        self.ending: Ending | None = None
        self._most = min(max_tokens, longest - len(prompt))
        self._model, self._tokenizer = model, tokenizer
        self._sampler, self._stop = Sampler(sampling), tuple(stop)
        self._rules = rules

    def __iter__(self) -> Iterator[str]:
        stream, held = TextStream(self._tokenizer), ""
        sequence = self._model.start(len(self.prompt) + self._most)
        logits = sequence.feed(self.prompt)
        while self.ending is None:
            token = self._sampler.choose(self._ruled(logits[-1]))
            self.ids.append(token)
            if token in self._tokenizer.end_ids:
                self.ending = Ending.TOKEN
            else:
                held += stream.push(token)
                if len(self.ids) == self._most:
                    self.ending = Ending.LENGTH
            if self.ending is not None:
                held += stream.finish()
            free, found = self._free(held)
            if found:
                self.ending = Ending.STOP
            elif self.ending is not None:
                free = len(held)
            if free:
                yield held[:free]
                held = held[free:]
            if self.ending is None:
                logits = sequence.feed([token])

    def _ruled(self, logits: Array) -> Array:
        if self._rules is None:
            return logits
        return ruled(
            self._rules, logits, self.prompt, self.ids, most=self._most,
            end_ids=self._tokenizer.end_ids, read=self._model.read_ids,
        )  # fmt: skip

    def _free(self, text: str) -> tuple[int, bool]:
        """How many characters may leave, and whether a stop string stands behind them."""
        places = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if places:
            return min(places), True
        longest = max((len(stop) for stop in self._stop), default=1) - 1
        for at in range(max(0, len(text) - longest), len(text)):
            if any(stop.startswith(text[at:]) for stop in self._stop):
                return at, False
        return len(text), False
