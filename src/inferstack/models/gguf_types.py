"""Element types of GGUF files and how their blocks become float32.

Source: ggml, ggml-common.h for the layouts of blocks, ggml-quants.c for `dequantize_row_*`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferstack.models.element_types import bfloat16

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

    ToFloat = Callable[[Array], Array]
    """Blocks (n, block_bytes) uint8 -> values (n, block_elements) float32."""

LEVELS = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
"""What the 4 bits of IQ4 stand for."""
FP4 = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
"""Twice what those of a 4-bit float do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockType:
    """elements, bytes: of a block. to_float: None for a type whose values are not read."""

    name: str
    elements: int
    bytes: int
    to_float: ToFloat | None = None


def _numbers(kind: str) -> ToFloat:
    def convert(blocks: Array) -> Array:
        import numpy as np

        with np.errstate(over="ignore"):
            found: Array = blocks.view(kind).astype(np.float32)
        return found

    return convert


def _bf16(blocks: Array) -> Array:
    return bfloat16(blocks.view("<u2"))


def _half(blocks: Array, at: int) -> Array:
    """The float16 at byte `at` of each block, as a column of float32."""
    import numpy as np

    found: Array = blocks[:, at : at + 2].copy().view("<f2").astype(np.float32)
    return found


def _nibbles(packed: Array) -> Array:
    """(n, k) bytes -> (n, 2k): the low halves, then the high ones."""
    import numpy as np

    found: Array = np.concatenate([packed & 15, packed >> 4], axis=1)
    return found


def _bits(packed: Array) -> Array:
    """(n, k) bytes -> (n, 8k) bits, the lowest of a byte first."""
    import numpy as np

    found: Array = np.unpackbits(packed, axis=1, bitorder="little")
    return found


def _signed(values: Array) -> Array:
    import numpy as np

    return values.astype(np.float32)


def _q4_0(b: Array) -> Array:
    found: Array = _half(b, 0) * (_signed(_nibbles(b[:, 2:])) - 8)
    return found


def _q4_1(b: Array) -> Array:
    found: Array = _half(b, 0) * _signed(_nibbles(b[:, 4:])) + _half(b, 2)
    return found


def _q5_0(b: Array) -> Array:
    found: Array = _half(b, 0) * (_signed(_nibbles(b[:, 6:]) | (_bits(b[:, 2:6]) << 4)) - 16)
    return found


def _q5_1(b: Array) -> Array:
    return _half(b, 0) * _signed(_nibbles(b[:, 8:]) | (_bits(b[:, 4:8]) << 4)) + _half(b, 2)


def _q8_0(b: Array) -> Array:
    return _half(b, 0) * _signed(b[:, 2:].copy().view("i1"))


def _quarters(packed: Array) -> Array:
    """(n, 64) bytes of four 2-bit numbers -> (n, 256), in the order of the K types."""
    import numpy as np

    halves = packed.reshape(-1, 2, 1, 32) >> np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    return (halves & 3).reshape(-1, 256)


def _grouped(scales: Array, values: Array, offsets: Array | None = None) -> Array:
    """Each group of values (n, 256) by its scale (n, groups), less its offset."""
    groups = values.reshape(len(values), scales.shape[1], -1)
    found = scales[:, :, None] * groups
    if offsets is not None:
        found = found - offsets[:, :, None]
    return found.reshape(len(values), -1)


def _q2_k(b: Array) -> Array:
    scales = b[:, :16]
    outer, least = _half(b, 80), _half(b, 82)
    values = _signed(_quarters(b[:, 16:80]))
    return _grouped(outer * _signed(scales & 15), values, least * _signed(scales >> 4))


def _q3_k(b: Array) -> Array:
    import numpy as np

    packed = b[:, 96:108]
    high = packed[:, None, 8:] >> np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    scales = _nibbles(packed[:, :8]) | ((high & 3).reshape(-1, 16) << 4)
    # Bit g of byte l is of element l in the g-th run of 32.
    top = (b[:, None, :32] >> np.arange(8, dtype=np.uint8)[:, None]) & 1
    values = _signed(_quarters(b[:, 32:96]) | (top.reshape(-1, 256) << 2)) - 4
    return _grouped(_half(b, 108) * (_signed(scales) - 32), values)


def _scales_of_k(packed: Array) -> tuple[Array, Array]:
    """Eight 6-bit scales and eight 6-bit offsets out of 12 bytes."""
    import numpy as np

    first, second, rest = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([first & 63, (rest & 15) | ((first >> 6) << 4)], axis=1)
    offsets = np.concatenate([second & 63, (rest >> 4) | ((second >> 6) << 4)], axis=1)
    return _signed(scales), _signed(offsets)


def _runs(packed: Array, each: int = 32) -> Array:
    """(n, 128) bytes -> (n, 256): of each run of so many the low halves, then the high ones."""
    return _nibbles(packed.reshape(-1, each)).reshape(-1, 256)


def _q4_k(b: Array) -> Array:
    scales, offsets = _scales_of_k(b[:, 4:16])
    values = _signed(_runs(b[:, 16:]))
    return _grouped(_half(b, 0) * scales, values, _half(b, 2) * offsets)


def _q5_k(b: Array) -> Array:
    import numpy as np

    scales, offsets = _scales_of_k(b[:, 4:16])
    top = (b[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[:, None]) & 1
    values = _signed(_runs(b[:, 48:]) | (top.reshape(-1, 256) << 4))
    return _grouped(_half(b, 0) * scales, values, _half(b, 2) * offsets)


def _q6_k(b: Array) -> Array:
    import numpy as np

    low = _nibbles(b[:, :128].reshape(-1, 64)).reshape(-1, 256)
    values = _signed(low | (_quarters(b[:, 128:192]) << 4)) - 32
    scales = b[:, 192:208].copy().view("i1").astype(np.float32)
    return _grouped(_half(b, 208) * scales, values)


def _q8_k(b: Array) -> Array:
    scale: Array = b[:, :4].copy().view("<f4")
    return scale * _signed(b[:, 4:260].copy().view("i1"))


def _levels(indices: Array) -> Array:
    import numpy as np

    found: Array = np.array(LEVELS, dtype=np.float32)[indices]
    return found


def _iq4_nl(b: Array) -> Array:
    return _half(b, 0) * _levels(_nibbles(b[:, 2:]))


def _iq4_xs(b: Array) -> Array:
    import numpy as np

    high = b[:, 2:4].copy().view("<u2") >> np.arange(0, 16, 2, dtype=np.uint16)
    low = np.stack([b[:, 4:8] & 15, b[:, 4:8] >> 4], axis=2).reshape(-1, 8)
    scales = _signed(low | ((high & 3).astype(np.uint8) << 4)) - 32
    return _grouped(_half(b, 0) * scales, _levels(_runs(b[:, 8:], 16)))


def _tq1_0(b: Array) -> Array:
    """Five numbers of -1, 0, 1 a byte, as digits of a fraction to the base of 3."""
    import numpy as np

    found = []
    for begin, end, each in ((0, 32, 5), (32, 48, 5), (48, 52, 4)):
        powers = np.array([3**n for n in range(each)], dtype=np.uint8)[:, None]
        found.append((b[:, None, begin:end] * powers).reshape(len(b), -1))
    digits = (np.concatenate(found, axis=1).astype(np.uint16) * 3) >> 8
    values: Array = _half(b, 52) * (_signed(digits) - 1)
    return values


def _tq2_0(b: Array) -> Array:
    values: Array = _half(b, 64) * (_signed(_quarters(b[:, :64])) - 1)
    return values


def _mxfp4(b: Array) -> Array:
    import numpy as np

    half = np.ldexp(np.float32(1), b[:, :1].astype(np.int32) - 128)
    found: Array = half * np.array(FP4, dtype=np.float32)[_nibbles(b[:, 1:])]
    return found


TYPES: Mapping[int, BlockType] = {
    number: BlockType(name=name, elements=elements, bytes=size, to_float=to_float)
    for number, name, elements, size, to_float in (
        (0, "F32", 1, 4, _numbers("<f4")),
        (1, "F16", 1, 2, _numbers("<f2")),
        (2, "Q4_0", 32, 18, _q4_0),
        (3, "Q4_1", 32, 20, _q4_1),
        (6, "Q5_0", 32, 22, _q5_0),
        (7, "Q5_1", 32, 24, _q5_1),
        (8, "Q8_0", 32, 34, _q8_0),
        (9, "Q8_1", 32, 40, None),
        (10, "Q2_K", 256, 84, _q2_k),
        (11, "Q3_K", 256, 110, _q3_k),
        (12, "Q4_K", 256, 144, _q4_k),
        (13, "Q5_K", 256, 176, _q5_k),
        (14, "Q6_K", 256, 210, _q6_k),
        (15, "Q8_K", 256, 292, _q8_k),
        (16, "IQ2_XXS", 256, 66, None),
        (17, "IQ2_XS", 256, 74, None),
        (18, "IQ3_XXS", 256, 98, None),
        (19, "IQ1_S", 256, 50, None),
        (20, "IQ4_NL", 32, 18, _iq4_nl),
        (21, "IQ3_S", 256, 110, None),
        (22, "IQ2_S", 256, 82, None),
        (23, "IQ4_XS", 256, 136, _iq4_xs),
        (24, "I8", 1, 1, None),
        (25, "I16", 1, 2, None),
        (26, "I32", 1, 4, None),
        (27, "I64", 1, 8, None),
        (28, "F64", 1, 8, _numbers("<f8")),
        (29, "IQ1_M", 256, 56, None),
        (30, "BF16", 1, 2, _bf16),
        (34, "TQ1_0", 256, 54, _tq1_0),
        (35, "TQ2_0", 256, 66, _tq2_0),
        (39, "MXFP4", 32, 17, _mxfp4),
    )
}
"""By the number in the file."""
