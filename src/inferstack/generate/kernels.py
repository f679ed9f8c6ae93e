"""Compiled kernels for one token: what numpy would take many passes over memory for.

Sums are in any order, so results differ from the references in the last bits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.compiled import compiled, compiled_sums

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@compiled_sums
def multiply_rows(rows: Array, x: Array, out: Array) -> None:
    """rows (n, k), x (k,) -> out (n,), all float32."""
    for j in range(rows.shape[0]):
        total = out.dtype.type(0)
        for k in range(rows.shape[1]):
            total += rows[j, k] * x[k]
        out[j] = total


@compiled
def multiply_integer_rows(rows: Array, x: Array, out: Array) -> None:
    """rows (n, k) int8, x (k,) int8 -> out (n,) int32, exact for k under 2^17."""
    for j in range(rows.shape[0]):
        total = np.int32(0)
        for k in range(rows.shape[1]):
            total += np.int32(np.int16(rows[j, k]) * np.int16(x[k]))
        out[j] = total


@compiled_sums
def rms_norm(x: Array, gamma: Array, epsilon: float, out: Array) -> None:
    """x, out (rows, width), gamma (width,)."""
    rows, width = x.shape
    for row in range(rows):
        total = x.dtype.type(0)
        for k in range(width):
            total += x[row, k] * x[row, k]
        factor = x.dtype.type(1.0 / math.sqrt(total / width + epsilon))
        for k in range(width):
            out[row, k] = x[row, k] * factor * gamma[k]


@compiled_sums
def attend(
    query: Array,
    keys: Array,
    values: Array,
    numbers: tuple[int, int, int],
    scale: float,
    cap: float,
    slopes: Array,
    sinks: Array,
    scores: Array,
    out: Array,
) -> None:
    """One query over all keys from `first` on; numbers: heads, kv_heads, first.

    query (heads * width,), keys (context, kv_heads * width), values (context, kv_heads * wide),
    slopes (heads,) of distance, sinks (heads,), scores (context,) to work in, out (heads * wide,).
    cap 0: none.
    """
    heads, kv_heads, first = numbers
    context = keys.shape[0]
    width, wide = keys.shape[1] // kv_heads, values.shape[1] // kv_heads
    for head in range(heads):
        group = head // (heads // kv_heads)
        most = sinks[head]
        for j in range(first, context):
            score = scores.dtype.type(0)
            for k in range(width):
                score += query[head * width + k] * keys[j, group * width + k]
            score *= scores.dtype.type(scale)
            if cap != 0.0:
                score = scores.dtype.type(cap * math.tanh(score / cap))
            score += slopes[head] * (j - context + 1)
            scores[j] = score
            most = max(most, score)
        total = math.exp(sinks[head] - most)
        for k in range(wide):
            out[head * wide + k] = 0
        for j in range(first, context):
            share = scores.dtype.type(math.exp(scores[j] - most))
            total += share
            for k in range(wide):
                out[head * wide + k] += share * values[j, group * wide + k]
        for k in range(wide):
            out[head * wide + k] /= scores.dtype.type(total)
