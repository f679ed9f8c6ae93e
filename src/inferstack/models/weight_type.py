"""The type that a checkpoint's config.json gives to its weights, quantized ones included.

Not counted: GPTQ's order of groups (g_idx), and what a file adds for alignment.
Source: transformers, utils/quantization_config.py, for the keys and their defaults.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from inferstack.core.dtypes import DType
from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.core.units import ceil_div
from inferstack.models.config_file import ConfigFile
from inferstack.models.names import EXPERT, Names, Stacks

FLOATS = {
    kind.value: kind for kind in (DType.FLOAT64, DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)
}
NF4_BLOCK, NF4_OUTER_BLOCK = 64, 256
MOST_GROUP = 2**16
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


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightType:
    """What a checkpoint says. element: None where it says nothing, of all that `stored` does not
    know. source: where it says it."""

    element: DType | None
    stored: Stored | None
    source: str


def read_weight_type(where: str, content: Mapping[str, object]) -> WeightType:
    """The type of a folder's weights. Raises CheckpointError for one that is not counted."""
    whole = ConfigFile(where, content)
    said = {key: content[key] for key in ("dtype", "torch_dtype") if whole.has(key)}
    kinds = {key: _element(where, key, value) for key, value in said.items()}
    if len(set(kinds.values())) > 1:
        got = ", ".join(f"{key} {value}" for key, value in said.items())
        raise CheckpointError(where, "names two types for its weights", got=got)
    element = next(iter(kinds.values()), None)
    source = f"{next(iter(kinds))} of config.json" if element else "config.json names none"
    quantization = whole.optional("quantization_config", None)
    if quantization is None:
        return WeightType(element=element, stored=None, source=source)
    if not isinstance(quantization, dict):
        raise CheckpointError(where, "quantization_config is not a JSON object")
    file = ConfigFile(f"{where}, quantization_config", quantization)
    method = file.text("quant_method")
    if method not in METHODS:
        raise CheckpointError(
            file.where,
            "this method is not counted",
            got=printable(method),
            need=f"one of {', '.join(METHODS)}",
            hint="--dtype counts all weights in one type instead; remove quantization_config "
            "from a copy of the folder",
        )
    quantized = METHODS[method](file)
    return WeightType(
        element=element or DType.FLOAT16,
        stored=quantized,
        source=f"quantization_config of config.json ({method}, {quantized.bits} bits), the rest "
        f"{source if element else 'float16 by default'}",
    )


def _element(where: str, key: str, value: object) -> DType | None:
    name = value.removeprefix("torch.") if isinstance(value, str) else str(value)
    if name == "auto":
        return None
    if name not in FLOATS:
        need = f"one of {', '.join(FLOATS)}"
        raise CheckpointError(where, f"{key} is not known", got=printable(name), need=need)
    return FLOATS[name]


def _groups(file: ConfigFile) -> int | None:
    """Rows that share a scale; -1 is all."""
    if file.optional("group_size", 128) == -1:
        return None
    return file.whole("group_size", MOST_GROUP) if file.has("group_size") else 128


def _gptq(file: ConfigFile) -> Quantized:
    """Float16 scales and packed zero points by groups of input rows."""
    bits = file.whole("bits", 8, least=2)
    rows = _groups(file)
    return Quantized(method="gptq", bits=bits, rows=rows, columns=1, scale_bits=16 + bits)


def _awq(file: ConfigFile) -> Quantized:
    """As GPTQ; zero points unless they are switched off."""
    bits = file.whole("bits", 8, least=2) if file.has("bits") else 4
    zero = bits if file.flag("zero_point", True) else 0
    return Quantized(method="awq", bits=bits, rows=_groups(file), columns=1, scale_bits=16 + zero)


def _bitsandbytes(file: ConfigFile) -> Quantized:
    """8 bits: a float32 per output. 4 bits: a float32 per 64 weights, or 8 bits, nested."""
    if file.content.get("load_in_4bit") is True:
        nested = file.flag("bnb_4bit_use_double_quant", False)
        scale = 8 + 32 / NF4_OUTER_BLOCK if nested else 32.0
        return Quantized(method="bitsandbytes", bits=4, rows=NF4_BLOCK, columns=1, scale_bits=scale)
    if file.content.get("load_in_8bit") is True:
        return Quantized(method="bitsandbytes", bits=8, rows=None, columns=1, scale_bits=32)
    raise CheckpointError(
        file.where, "does not say its bits", need="load_in_4bit or load_in_8bit of true"
    )


def _fp8(file: ConfigFile) -> Quantized:
    """A float32 per block, or one for the whole matrix."""
    block = file.optional("weight_block_size", None)
    if block is None:
        return Quantized(method="fp8", bits=8, rows=None, columns=None, scale_bits=32)
    if (
        not isinstance(block, list)
        or len(block) != 2
        or not all(type(edge) is int and 1 <= edge <= MOST_GROUP for edge in block)
    ):
        raise CheckpointError(
            file.where, "weight_block_size makes no sense", got=printable(str(block)),
            need="two whole numbers",
        )  # fmt: skip
    return Quantized(method="fp8", bits=8, rows=block[1], columns=block[0], scale_bits=32)


def _mxfp4(file: ConfigFile) -> Quantized:
    """4-bit floats of the experts' matrices with an 8-bit exponent per 32 weights."""
    return Quantized(method="mxfp4", bits=4, rows=32, columns=1, scale_bits=8, experts_alone=True)


METHODS: Mapping[str, Callable[[ConfigFile], Quantized]] = {
    "awq": _awq,
    "bitsandbytes": _bitsandbytes,
    "fp8": _fp8,
    "gptq": _gptq,
    "mxfp4": _mxfp4,
}
