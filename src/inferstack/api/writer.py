"""`Writer`: a model that writes texts, ready to run: what decoders and encoder-decoders share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict, Unpack

from inferstack.api.choices import WRITTEN_TOKENS

if TYPE_CHECKING:
    from inferstack.generate.text import Generation


class Writing(TypedDict, total=False):
    """How a text is written; see `Writer.stream`."""

    max_tokens: int
    temperature: float
    top_k: int | None
    top_p: float
    seed: int
    stop: Sequence[str]
    chat: bool
    source_language: str | None
    target_language: str | None


class Writer(ABC):
    """Text in, text out."""

    __slots__ = ()

    @abstractmethod
    def stream(
        self,
        prompt: str,
        *,
        max_tokens: int = WRITTEN_TOKENS,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        chat: bool = False,
        source_language: str | None = None,
        target_language: str | None = None,
    ) -> Generation:
        """What a decoder writes behind the prompt, or an encoder-decoder about it, piece by piece
        as one iterates over it.

        max_tokens: to write at most. temperature: 0 takes the likeliest token; top_k, top_p and
        seed are of the draws of another one. stop: strings that end the text and do not belong to
        it. chat: the prompt is a user's message, put into the model's own template. source_language
        and target_language: tokens of a translator of many languages, such as eng_Latn. Raises
        InputError.
        """

    def generate(self, prompt: str, **how: Unpack[Writing]) -> str:
        """What `stream` writes, as one text."""
        return "".join(self.stream(prompt, **how))
