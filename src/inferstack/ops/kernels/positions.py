"""Exact integer rotary position embedding. Everything is int64 and bounded by its docstring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.compiled import compiled
from inferstack.ops.kernels.gates import INT16_MAX, clipped
from inferstack.ops.kernels.integer import requantize, rescale, saturate_int32

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

ANGLE_BITS = 14
"""Bits after the binary point of a cosine or sine."""


@compiled
def rotary_array(
    x: Array,
    multiplier: Array,
    shift: Array,
    cosine: Array,
    sine: Array,
    start: int,
    interleaved: bool,
    out_multiplier: int,
    out_shift: int,
    out: Array,
) -> None:
    """x (batch, tokens, heads, width) int32 or int8 -> out int8, pairs turned.

    multiplier, shift: (heads * width,) or (1,): to one scale, clipped to 16 bits. cosine, sine:
    (tokens, pairs) with 14 bits after the binary point, at most 2^15. Each result, under 2^31, is
    rescaled to int8 once; what is not turned counts as multiplied by 1.
    """
    table = 0 if multiplier.shape[0] == 1 else 1
    batch, tokens, heads, width = x.shape
    pairs = cosine.shape[1]
    held = np.empty(width, dtype=np.int64)
    for b in range(batch):
        for t in range(tokens):
            for h in range(heads):
                for i in range(width):
                    at = (h * width + i) * table
                    common = rescale(x[b, t, h, i], multiplier[at], shift[at])
                    held[i] = clipped(common, INT16_MAX)
                    whole = held[i] << ANGLE_BITS
                    out[b, t, h, i] = requantize(whole, out_multiplier, out_shift)
                for p in range(pairs):
                    low = start + (2 * p if interleaved else p)
                    high = low + (1 if interleaved else pairs)
                    first = held[low] * cosine[t, p] - held[high] * sine[t, p]
                    second = held[high] * cosine[t, p] + held[low] * sine[t, p]
                    out[b, t, h, low] = requantize(saturate_int32(first), out_multiplier, out_shift)
                    out[b, t, h, high] = requantize(
                        saturate_int32(second), out_multiplier, out_shift
                    )
