"""The bytes of weights in a file: as its tensors say, or as a method of quantization does."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from inferstack.core.units import ceil_div
from inferstack.models.names import EXPERT, Names, Stacks

_NUMBER = re.compile(rf"(?<=\.)(\d+|{re.escape(EXPERT)})(?=\.)")


class Stored(Protocol):
    """How weights stand in a file."""

    def stored_bytes(self, weight: str, shape: tuple[int, ...]) -> int | None:
        """Of what the graph calls `weight`; None where the element type says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSizes:
    """What a file has. bits: of an element by the tensor's name, layers and experts together, each
    number of them a *."""

    names: Names | Stacks
    bits: Mapping[str, Fraction]

    @classmethod
    def of(
        cls, names: Names | Stacks, sizes: Iterable[tuple[str, tuple[int, ...], int]]
    ) -> StoredSizes:
        """sizes: name, shape and bytes of each tensor."""
        elements: dict[str, int] = {}
        stored: dict[str, int] = {}
        for name, shape, size in sizes:
            alike = _NUMBER.sub("*", name)
            elements[alike] = elements.get(alike, 0) + math.prod(shape)
            stored[alike] = stored.get(alike, 0) + size
        bits = {name: Fraction(8 * stored[name], count or 1) for name, count in elements.items()}
        return cls(names=names, bits=bits)

    def stored_bytes(self, weight: str, shape: tuple[int, ...]) -> int | None:
        """See `Stored`."""
        for prefix in self.names.prefixes:
            for name in self.names.stored(weight).names:
                bits = self.bits.get(_NUMBER.sub("*", prefix + name))
                if bits is not None:
                    return math.ceil(bits * math.prod(shape) / 8)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """Matrices of the layers as small integers with scales.

    bits: of a weight. rows, columns: of the block that shares a scale; None is all of them.
    scale_bits: of a block's scale, its zero point included. experts_alone: matrices of experts, and
    no others.
    """

    method: str
    bits: int
    rows: int | None
    columns: int | None
    scale_bits: float
    experts_alone: bool = False

    def stored_bytes(self, weight: str, shape: tuple[int, ...]) -> int | None:
        """See `Stored`. Tables of words, heads and routers are not quantized."""
        if len(shape) not in (2, 3) or ".router" in weight or "layer" not in weight:
            return None
        if len(shape) == 2 and self.experts_alone:
            return None
        # Experts' matrices stand one behind the other.
        return math.prod(shape[:-2]) * self.size_bytes(*shape[-2:])

    def size_bytes(self, rows: int, columns: int) -> int:
        """Bytes of a matrix (inputs, outputs), scales and zero points included."""
        blocks = ceil_div(rows, self.rows or rows) * ceil_div(columns, self.columns or columns)
        return ceil_div(rows * columns * self.bits + round(blocks * self.scale_bits), 8)
