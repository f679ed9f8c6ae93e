"""Exact integer gates: the logistic sigmoid, SiLU, products of two activations.

Constants of sigmoid and SiLU: [qb, qc, q_ln2], those of i-exp at its usual scale, whose inputs they
take. Everything is int64 and bounded by its docstring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferstack.core.compiled import compiled
from inferstack.ops.kernels.integer import i_exp, rescale, saturate_int8

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

INT16_MAX = 2**15 - 1
PART_BITS = 7
PARTS_MAX = 127 * 128 + 63
"""The largest value that two parts of int8 make together."""
SIGMOID_BITS = 16
"""Bits after the binary point of a sigmoid."""
GATE_INPUT_MAX = 2**26
"""SiLU's input is clipped to it after its rescale: at i-exp's scale that is 2839."""


@compiled
def clipped(q: int, limit: int) -> int:
    """`q` in [-limit, limit]."""
    return min(max(q, -limit), limit)


@compiled
def i_sigmoid(q: int, qb: int, qc: int, q_ln2: int) -> int:
    """1 / (1 + exp(-x)) with 16 bits after the binary point, rounded down, of x at i-exp's scale.

    e = i_exp(-|q|) in [0, qc] with qc for 1, qc < 2^33: qc / (qc + e) or, of negative q, e / (qc +
    e). |q| < 2^62. The error is that of i-exp: 0.0008 at most.
    """
    e = i_exp(-abs(q), qb, qc, q_ln2)
    return ((qc if q >= 0 else e) << SIGMOID_BITS) // (qc + e)


@compiled
def silu_element(q: int, constants: Array, out_multiplier: int, out_shift: int, limit: int) -> int:
    """x sigmoid(x) of x at i-exp's scale, brought to the output's and clipped to +-limit.

    |q| is clipped to 2^26, so the product is at most 2^42 and, 16 bits less, what `rescale` takes.
    """
    x = clipped(q, GATE_INPUT_MAX)
    product = x * i_sigmoid(x, constants[0], constants[1], constants[2])
    value = (product + (1 << (SIGMOID_BITS - 1))) >> SIGMOID_BITS
    return clipped(rescale(value, out_multiplier, out_shift), limit)


@compiled
def silu_rows(
    x: Array,
    multiplier: Array,
    shift: Array,
    out_multiplier: Array,
    out_shift: Array,
    constants: Array,
    limit: int,
    out: Array,
) -> None:
    """x (rows, n) int32 -> out (rows, n). multiplier, shift: (n,) or (1,): to i-exp's scale;
    out_multiplier, out_shift: (n,) or (1,): from there to the output's."""
    table = 0 if multiplier.shape[0] == 1 else 1
    out_table = 0 if out_multiplier.shape[0] == 1 else 1
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            q = rescale(x[r, i], multiplier[i * table], shift[i * table])
            out[r, i] = silu_element(
                q, constants, out_multiplier[i * out_table], out_shift[i * out_table], limit
            )


@compiled
def high_part(q: int) -> int:
    """The nearest multiple of 128, halves up, over 128; |q| <= 127 * 128 + 63 gives at most 127."""
    return (q + (1 << (PART_BITS - 1))) >> PART_BITS


@compiled
def part_of(value: int, part: int) -> int:
    """int8 of a product at its output's scale: see `multiply_rows`."""
    if part == 0:
        return saturate_int8(value)
    value = clipped(value, PARTS_MAX)
    high = high_part(value)
    return high if part == 1 else value - (high << PART_BITS)


@compiled
def multiply_rows(
    a: Array, b: Array, out_multiplier: Array, out_shift: Array, part: int, out: Array
) -> None:
    """a, b (rows, n), clipped to 16 bits each -> out (rows, n) int8.

    The product is under 2^30, what `rescale` takes. out_multiplier, out_shift: (n,) or (1,).
    part 0: the product, clipped to +-127. Otherwise it has 15 bits, v = 128 high + low with low
    in [-64, 63]: part 1 is high, part 2 low.
    """
    table = 0 if out_multiplier.shape[0] == 1 else 1
    for r in range(a.shape[0]):
        for i in range(a.shape[1]):
            product = clipped(a[r, i], INT16_MAX) * clipped(b[r, i], INT16_MAX)
            value = rescale(product, out_multiplier[i * table], out_shift[i * table])
            out[r, i] = part_of(value, part)
