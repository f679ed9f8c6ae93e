"""`Scenario`: what a model is asked to do, from which all shapes follow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from inferstack.core.errors import InputError

LARGEST = 2**24
"""Batches and sequences beyond this are mistakes, not workloads."""


class Phase(StrEnum):
    """Which pass of the model is meant."""

    ENCODE = "encode"
    """All tokens at once, each sees all: encoders."""
    PREFILL = "prefill"
    """All tokens of a prompt at once, each sees itself and the earlier ones."""
    DECODE = "decode"
    """A few new tokens behind a cache of keys and values: one generation step."""


def check_size(flag: str, size: object, least: int = 1, most: int = LARGEST) -> None:
    """Raises InputError for a size, given by `flag`, that is no whole number or out of bounds."""
    need = f"a whole number from {least:,} to {most:,}"
    if isinstance(size, bool) or not isinstance(size, int):
        raise InputError(flag, "is no whole number", got=repr(size)[:40], need=need)
    if not least <= size <= most:
        got = f"{size:,}" if abs(size) < 2**64 else "a number of many digits"
        raise InputError(flag, "makes no sense", got=got, need=need)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One pass over `batch` sequences.

    new_tokens: tokens that this pass computes, per sequence. context_tokens: earlier tokens, whose
    keys and values come out of the cache; attention sees both. Encoders have none. source_tokens:
    of what a decoder reads of its encoder; 0 is as many as it attends to of its own.
    Raises InputError for sizes that make no sense.
    """

    phase: Phase
    batch: int
    new_tokens: int
    context_tokens: int = 0
    source_tokens: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("batch", 1),
            ("new_tokens", 1),
            ("context_tokens", 0),
            ("source_tokens", 0),
        ):
            check_size(f"scenario, {name}", getattr(self, name), least)
        if self.phase is Phase.ENCODE and self.context_tokens:
            raise InputError(
                "scenario",
                "an encoder sees all tokens at once and has no cache",
                got=f"context_tokens {self.context_tokens}",
                need="context_tokens 0",
            )

    @property
    def attended_tokens(self) -> int:
        """Tokens whose keys and values attention reads: cached and new ones."""
        return self.context_tokens + self.new_tokens

    @property
    def read_tokens(self) -> int:
        """Tokens of the source that a decoder reads of its encoder."""
        return self.source_tokens or self.attended_tokens

    @classmethod
    def encode(cls, tokens: int, *, batch: int = 1) -> Scenario:
        """An encoder's pass over `tokens` tokens."""
        return cls(phase=Phase.ENCODE, batch=batch, new_tokens=tokens)

    @classmethod
    def prefill(cls, tokens: int, *, batch: int = 1, context_tokens: int = 0) -> Scenario:
        """A decoder's pass over a prompt, behind `context_tokens` cached ones."""
        return cls(
            phase=Phase.PREFILL, batch=batch, new_tokens=tokens, context_tokens=context_tokens
        )

    @classmethod
    def decode(cls, context_tokens: int, *, batch: int = 1, new_tokens: int = 1) -> Scenario:
        """One step of generation behind `context_tokens` cached tokens."""
        return cls(
            phase=Phase.DECODE, batch=batch, new_tokens=new_tokens, context_tokens=context_tokens
        )
