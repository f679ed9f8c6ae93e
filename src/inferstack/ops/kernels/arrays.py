"""Array forms of the integer kernels, for the reference semantics. See `integer` for the bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.compiled import compiled
from inferstack.ops.kernels.integer import (
    PROBABILITY_BITS,
    add_element,
    gelu_row,
    layernorm_row,
    next_probability,
    probability_factor,
    requantize,
    rescale,
    rmsnorm_row,
    row_factor,
    softmax_row,
    weighted_mean,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

EXPONENTIAL_UNIT = 2**30
"""The integer that a row's largest floating-point probability becomes."""
FLOAT32_EXACT_PRODUCTS = 2**24 // 127**2
"""Products of int8 pairs whose partial sums are all integers that float32 holds exactly: 1040."""


@compiled
def rescale_rows(x: Array, multiplier: Array, shift: Array, out: Array) -> None:
    """x (rows, n) integers -> out (rows, n) int64; multiplier, shift: (n,) or (1,)."""
    table = 0 if multiplier.shape[0] == 1 else 1
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            out[r, i] = rescale(x[r, i], multiplier[i * table], shift[i * table])


@compiled
def requantize_rows(x: Array, multiplier: Array, shift: Array, out: Array) -> None:
    """x (rows, n) int32 -> out (rows, n) int8; multiplier, shift: (n,) or (1,)."""
    table = 0 if multiplier.shape[0] == 1 else 1
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            out[r, i] = requantize(x[r, i], multiplier[i * table], shift[i * table])


@compiled
def add_rows(a: Array, b: Array, out: Array) -> None:
    """a, b (rows, n) at one scale -> out (rows, n) int32, saturating."""
    for r in range(a.shape[0]):
        for i in range(a.shape[1]):
            out[r, i] = add_element(a[r, i], b[r, i])


@compiled
def gelu_rows(
    x: Array,
    multiplier: Array,
    shift: Array,
    out_multiplier: Array,
    out_shift: Array,
    constants: Array,
    out: Array,
) -> None:
    """i-GELU of x (rows, n) int32 -> out (rows, n) int8."""
    for r in range(x.shape[0]):
        gelu_row(x[r], multiplier, shift, out_multiplier, out_shift, constants, out[r])


@compiled
def softmax_array(
    x: Array,
    mask: Array,
    causal: bool,
    window: int,
    multiplier: Array,
    shift: Array,
    constants: Array,
    out: Array,
) -> None:
    """i-softmax of x (batch, heads, tokens, context) int32 -> out int8, over the last axis.

    mask: (batch, context), 0 = not attended. causal: query i sees keys up to context - tokens + i.
    window: only keys less than so far away, 0 for all.
    multiplier, shift: (1,) or (heads,).
    """
    batch, heads, tokens, context = x.shape
    table = 0 if multiplier.shape[0] == 1 else 1
    seen = np.empty(context, dtype=np.int64)
    for b in range(batch):
        for t in range(tokens):
            for c in range(context):
                ahead = c - (context - tokens + t)
                hidden = (causal and ahead > 0) or (window > 0 and abs(ahead) >= window)
                seen[c] = 0 if hidden or mask[b, c] == 0 else 1
            for h in range(heads):
                softmax_row(
                    x[b, h, t],
                    seen,
                    multiplier[h * table],
                    shift[h * table],
                    constants,
                    out[b, h, t],
                )


@compiled
def share_rows(x: Array, out: Array) -> None:
    """Probabilities x (rows, n) in floating point -> out (rows, n) int8, as softmax_row gives them.

    A row's largest is EXPONENTIAL_UNIT, and 127. A row of zeros gives zeros.
    """
    factor = probability_factor(EXPONENTIAL_UNIT)
    for r in range(x.shape[0]):
        largest = x[r].max()
        carry = 1 << (PROBABILITY_BITS - 1)
        for i in range(x.shape[1]):
            out[r, i] = 0
            if x[r, i] > 0:
                e = int(np.rint(x[r, i] / largest * EXPONENTIAL_UNIT))
                out[r, i], carry = next_probability(carry, e, factor)


@compiled
def mean_rows(x: Array, probabilities: Array, out: Array) -> None:
    """Sums of products x (rows, n) -> out (rows, n) int32 over the sums of probabilities (rows, k).

    With 16 bits after the binary point.
    """
    for r in range(x.shape[0]):
        total = 0
        for i in range(probabilities.shape[1]):
            total += probabilities[r, i]
        factor = row_factor(total)
        for i in range(x.shape[1]):
            out[r, i] = weighted_mean(x[r, i], factor)


@compiled
def layernorm_rows(
    x: Array,
    multiplier: Array,
    shift: Array,
    gamma_multiplier: Array,
    beta_offset: Array,
    constants: Array,
    out: Array,
) -> None:
    """i-LayerNorm of x (rows, n) -> out (rows, n) int8."""
    for r in range(x.shape[0]):
        layernorm_row(x[r], multiplier, shift, gamma_multiplier, beta_offset, constants, out[r])


@compiled
def rmsnorm_rows(
    x: Array,
    width: int,
    multiplier: Array,
    shift: Array,
    gamma_multiplier: Array,
    constants: Array,
    out: Array,
) -> None:
    """The norm of x (rows, n), in parts of `width` -> out (rows, n) int8."""
    for r in range(x.shape[0]):
        rmsnorm_row(x[r], width, multiplier, shift, gamma_multiplier, constants, out[r])


def matmul_int8(a: Array, b: Array) -> Array:
    """a (..., m, k) int8 @ b (..., k, n) int8 -> (..., m, n) int32, exact.

    By float32 BLAS in chunks of 1040 of k: every partial sum is an integer of at most 2^24, which
    float32 holds exactly in any order of summation. Refused: -128, which is no value of ours, and
    k >= 2^31 / 127^2, where the sum may leave int32.
    """
    k = a.shape[-1]
    assert k < 2**31 // 127**2, f"{k} products of int8 may leave int32"
    assert int(a.min(initial=0)) >= -127, "an int8 operand holds -128"
    assert int(b.min(initial=0)) >= -127, "an int8 operand holds -128"
    total: Array | None = None
    for start in range(0, max(k, 1), FLOAT32_EXACT_PRODUCTS):
        part = slice(start, start + FLOAT32_EXACT_PRODUCTS)
        left = a[..., part].astype(np.float32)
        right = b[..., part, :].astype(np.float32)
        product = np.matmul(left, right).astype(np.int32)
        total = product if total is None else total + product
    assert total is not None
    return total


def by_rows(x: Array) -> Array:
    """x (..., n) as contiguous (rows, n)."""
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])
