"""The exact integer arithmetic: reference, simulator and exports compute with these functions.

Everything is int64 and bounded by its docstring, so nothing overflows. Right shifts are arithmetic.
Divisions are floor divisions.

Constants of an operator travel as one packed int64 vector (what a config instruction carries),
made by `inferstack.ops.quantization.constants`:

    gelu       [qb, qc, drop]
    softmax    [qb, qc, q_ln2]
    layernorm, rmsnorm  [epsilon_sum, output_shift]

Source: I-BERT, Kim et al. 2021, arXiv:2101.01321, algorithms 1 to 4 and its code's constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferstack.core.compiled import compiled

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

INT8_MAX = 127
INT32_MAX = 2**31 - 1
GELU_INPUT_MAX = 2**15 - 1
"""i-GELU's input is clipped to 16 bits after its rescale."""
GELU_PRODUCT_SHIFT = 16
"""Bits dropped from x * (erf + 1), so that the output rescale starts from 32 bits."""
GELU_SQUARE_BITS = 15
"""i-erf's square keeps so many bits before it is squared again."""
EXP_SHIFT_MAX = 30
"""i-exp's result is shifted right at most so far: exp(-30 ln 2) is zero for us."""
PROBABILITY_BITS = 46
"""Bits after the binary point of a probability before it is rounded to an integer."""
ROW_FACTOR_BITS = 37
"""A row's factor is 2^37 over the sum of its probabilities: at most 2^37 / 126 < 2^31."""
MEAN_BITS = 16
"""An attention context has so many bits below the unit of the values that it is a mean of."""
NORM_INPUT_MAX = 2**20
"""i-LayerNorm's input is clipped to +-2^20 after its rescale."""
NORM_RECIPROCAL_BITS = 46
NORM_FRACTION_BITS = 16
"""(x - mean) / (std sqrt(n)) carries so many bits after the binary point."""


@compiled
def saturate_int8(q: int) -> int:
    """`q` clipped to [-127, 127]: symmetric, -128 is never written."""
    return min(max(q, -INT8_MAX), INT8_MAX)


@compiled
def saturate_int32(q: int) -> int:
    """`q` clipped to [-(2^31 - 1), 2^31 - 1]."""
    return min(max(q, -INT32_MAX), INT32_MAX)


@compiled
def rescale(q: int, multiplier: int, shift: int) -> int:
    """round(q * multiplier / 2^shift), halves up: (q * multiplier + 2^(shift-1)) >> shift.

    |q| < 2^31, |multiplier| < 2^31, 1 <= shift <= 62: the sum stays under 2^62 + 2^61 < 2^63.
    """
    return (q * multiplier + (1 << (shift - 1))) >> shift


@compiled
def requantize(q: int, multiplier: int, shift: int) -> int:
    """int32 to int8: rescale, then clip to [-127, 127]."""
    return saturate_int8(rescale(q, multiplier, shift))


@compiled
def add_element(a: int, b: int) -> int:
    """Residual add of two values that are at one scale; saturates to int32. |a|, |b| < 2^62."""
    return saturate_int32(a + b)


@compiled
def i_poly(q: int, qb: int, qc: int) -> int:
    """(q + qb)^2 + qc. |q + qb| < 2^31 and |qc| < 2^62 keep it under 2^63. I-BERT algorithm 1."""
    shifted = q + qb
    return shifted * shifted + qc


@compiled
def i_erf(q: int, qb: int, qc: int, drop: int) -> int:
    """erf at the scale a S^4 2^(2 drop) of its input scale S: sgn(q) (qc - h^2),

    h = (min(|q|, qb) - qb)^2 rounded to drop fewer bits: sgn(x) (1 - a (min(|x|, b) - b)^4) is
    I-BERT's polynomial squared once more: GELU is wrong by 0.004 at most instead of 0.018.
    qb = floor(b / S) > 0, qc = floor(1 / (a S^4 2^(2 drop))). qb < 2^16, and drop leaves h < 2^15
    + 1, so that h^2, and qc which is less, are under 2^31: the result is within +-qc.
    """
    if q == 0:
        return 0
    h = i_poly(min(abs(q), qb), -qb, 0)
    if drop > 0:
        h = (h + (1 << (drop - 1))) >> drop
    positive = qc - h * h
    return positive if q > 0 else -positive


@compiled
def i_gelu(q: int, qb: int, qc: int, drop: int) -> int:
    """GELU at the scale S / 2 times erf's, of its input scale S: q (i_erf(q) + qc).

    `i_erf` sees scale S / sqrt 2; qc stands for 1 at erf's scale. |q| < 2^15, qc < 2^31: the
    result is under 2^15 * 2^32 = 2^47. Source: I-BERT algorithm 2.
    """
    return q * (i_erf(q, qb, qc, drop) + qc)


@compiled
def gelu_element(q: int, constants: Array, out_multiplier: int, out_shift: int) -> int:
    """int8 GELU of a common-scale value; `constants` [qb, qc, drop].

    q is clipped to 16 bits; the product loses 16 bits with rounding, which leaves
    |v| <= 2^15 * 2 qc / 2^16 = qc < 2^31, what `rescale` takes.
    """
    clipped = min(max(q, -GELU_INPUT_MAX), GELU_INPUT_MAX)
    product = i_gelu(clipped, constants[0], constants[1], constants[2])
    value = (product + (1 << (GELU_PRODUCT_SHIFT - 1))) >> GELU_PRODUCT_SHIFT
    return requantize(value, out_multiplier, out_shift)


@compiled
def gelu_row(
    x: Array,
    multiplier: Array,
    shift: Array,
    out_multiplier: Array,
    out_shift: Array,
    constants: Array,
    out: Array,
) -> None:
    """i-GELU of one row: x (n,) int32 -> out (n,) int8. constants: [qb, qc, drop].

    multiplier, shift: (n,) or (1,): the rescale of each channel to the operator's common scale.
    out_multiplier, out_shift: (n,) or (1,): from i-GELU's scale to each channel of the output.
    """
    table = 0 if multiplier.shape[0] == 1 else 1
    out_table = 0 if out_multiplier.shape[0] == 1 else 1
    for i in range(x.shape[0]):
        common = rescale(x[i], multiplier[i * table], shift[i * table])
        out[i] = gelu_element(
            common, constants, out_multiplier[i * out_table], out_shift[i * out_table]
        )


@compiled
def i_exp(q: int, qb: int, qc: int, q_ln2: int) -> int:
    """exp(q S) for q <= 0, at the scale 0.35815147 S^2.

    z = floor(-q / q_ln2), clipped to 30; p = q + z q_ln2 in (-q_ln2, 0]; (p (p + qb) + qc) >> z;
    qb = floor(2.7073 / S), qc = floor(2.7921 / S^2), q_ln2 = floor(ln 2 / S). 0 <= -q < 2^62 and
    q_ln2 < 2^15: p (p + qb) is negative and above -2^32, qc under 2^33; the result is in [0, qc].
    Source: I-BERT algorithm 3, with the constants of its code (x^2 0.35815147, x 0.96963238, 1).
    """
    z = -q // q_ln2
    if z > EXP_SHIFT_MAX:
        return qc >> EXP_SHIFT_MAX
    p = q + z * q_ln2
    return (p * (p + qb) + qc) >> z


@compiled
def probability_factor(largest: int) -> int:
    """What `next_probability` takes for exponentials of at most `largest`: 127 stands for that.

    1 <= largest < 2^46; largest * factor <= 127 * 2^46 < 2^53.
    """
    return (INT8_MAX << PROBABILITY_BITS) // largest


@compiled
def next_probability(carry: int, e: int, factor: int) -> tuple[int, int]:
    """(probability, carry) of an exponential e <= largest: what rounding leaves goes to the next.

    So every run of probabilities from the first sums to within half a unit of the exact sum, and
    no mass is lost however thin it is spread. The first carry is 2^45 (a half), every carry is
    under 2^46, and a probability is in [0, 127].
    """
    total = carry + e * factor
    return total >> PROBABILITY_BITS, total & ((1 << PROBABILITY_BITS) - 1)


@compiled
def row_factor(total: int) -> int:
    """floor(2^37 / total) of the sum of a row's probabilities; 0 where nothing is attended.

    A row of `softmax_row` that attends anything has a probability of at least 126, so the factor
    is below 2^31; whatever is not such a row is held to int32.
    """
    return 0 if total <= 0 else min((1 << ROW_FACTOR_BITS) // total, INT32_MAX)


@compiled
def weighted_mean(accumulator: int, factor: int) -> int:
    """A sum of products of a row's probabilities and values over the sum of the probabilities.

    With 16 bits after the binary point, rounded to nearest. |accumulator| <= 127 * total, so the
    product is at most 127 * 2^37 and the mean 127 * 2^16.
    """
    drop = ROW_FACTOR_BITS - MEAN_BITS
    return (accumulator * factor + (1 << (drop - 1))) >> drop


@compiled
def softmax_row(
    x: Array, mask: Array, multiplier: int, shift: int, constants: Array, out: Array
) -> int:
    """i-softmax of one row: x (n,) int32 -> out (n,) int8; returns their sum, which stands for 1.

    mask: (n,) integers, 0 = not attended. Masked positions give exactly 0 and count for nothing; a
    row with no attended position gives zeros and the sum 0. constants: [qb, qc, q_ln2].
    Each difference to the maximum is clipped to -(2^31 - 1) and rescaled to i-exp's scale, where
    the maximum itself gives qc, the largest exponential; that is 127 (126 where the carry is low).
    The division by the sum is left to the attention context (`row_factor`, `weighted_mean`).
    """
    qb, qc, q_ln2 = constants[0], constants[1], constants[2]
    n = x.shape[0]
    largest = -(1 << 40)
    for i in range(n):
        if mask[i] != 0 and x[i] > largest:
            largest = x[i]
    factor = probability_factor(qc)
    carry = 1 << (PROBABILITY_BITS - 1)
    total = 0
    for i in range(n):
        out[i] = 0
        if mask[i] != 0:
            difference = max(x[i] - largest, -INT32_MAX)
            e = i_exp(rescale(difference, multiplier, shift), qb, qc, q_ln2)
            probability, carry = next_probability(carry, e, factor)
            out[i] = probability
            total += probability
    return total


@compiled
def i_sqrt(n: int) -> int:
    """floor(sqrt(n)) for 0 <= n < 2^62, by Newton from 2^ceil(bits/2). Source: I-BERT algorithm 4.

    The start is at least the root, so the iterates fall until they reach it.
    """
    if n == 0:
        return 0
    bits = 0
    while (n >> bits) > 0:
        bits += 1
    root = 1 << ((bits + 1) // 2)
    while True:
        following = (root + n // root) >> 1
        if following >= root:
            return root
        root = following


@compiled
def layernorm_row(
    x: Array,
    multiplier: Array,
    shift: Array,
    gamma_multiplier: Array,
    beta_offset: Array,
    constants: Array,
    out: Array,
) -> None:
    """i-LayerNorm of one row: x (n,) int32 -> out (n,) int8. n <= 2^16.

    multiplier, shift: (n,) or (1,): the rescale of each channel to one common scale, clipped to
    +-2^20. gamma_multiplier, beta_offset: (n,) int32 at output scale times 2^output_shift.
    constants: [epsilon_sum, output_shift]; epsilon_sum = round(n epsilon / S^2) at common scale S.

    mean = round(sum / n); y = x - mean; std = isqrt(sum y^2 + epsilon_sum);
    norm = round(y * floor(2^46 / std) / 2^30), which is y / std with 16 fractional bits;
    out = clip(round((norm * gamma_multiplier + beta_offset) / 2^output_shift)).
    |y| <= 2^21, so sum y^2 <= 2^16 2^42 = 2^58; epsilon_sum < 2^61. |y| <= std because y is an
    integer, so |y * factor| <= 2^46, |norm| <= 2^16 and the last sum is under 2^47 + 2^31.
    """
    n = x.shape[0]
    table = 0 if multiplier.shape[0] == 1 else 1
    total = 0
    for i in range(n):
        total += _norm_input(x[i], multiplier[i * table], shift[i * table])
    mean = (2 * total + n) // (2 * n)
    squares = 0
    for i in range(n):
        y = _norm_input(x[i], multiplier[i * table], shift[i * table]) - mean
        squares += y * y
    std = i_sqrt(squares + constants[0])
    factor = (1 << NORM_RECIPROCAL_BITS) // max(std, 1)
    drop = NORM_RECIPROCAL_BITS - NORM_FRACTION_BITS
    for i in range(n):
        y = _norm_input(x[i], multiplier[i * table], shift[i * table]) - mean
        norm = (y * factor + (1 << (drop - 1))) >> drop
        value = norm * gamma_multiplier[i] + beta_offset[i]
        out[i] = saturate_int8((value + (1 << (constants[1] - 1))) >> constants[1])


@compiled
def rmsnorm_row(
    x: Array,
    width: int,
    multiplier: Array,
    shift: Array,
    gamma_multiplier: Array,
    constants: Array,
    out: Array,
) -> None:
    """i-LayerNorm without mean and beta of x (n,) int32 -> out (n,) int8, in parts of `width`.

    width <= 2^18. Tables and constants as in `layernorm_row`, gamma_multiplier (n,) or (width,);
    the same bounds hold: squares sum to under 2^18 2^40 = 2^58.
    """
    table = 0 if multiplier.shape[0] == 1 else 1
    drop = NORM_RECIPROCAL_BITS - NORM_FRACTION_BITS
    for first in range(0, x.shape[0], width):
        squares = 0
        for i in range(first, first + width):
            y = _norm_input(x[i], multiplier[i * table], shift[i * table])
            squares += y * y
        root = i_sqrt(squares + constants[0])
        factor = (1 << NORM_RECIPROCAL_BITS) // max(root, 1)
        for i in range(first, first + width):
            y = _norm_input(x[i], multiplier[i * table], shift[i * table])
            norm = (y * factor + (1 << (drop - 1))) >> drop
            value = norm * gamma_multiplier[i % gamma_multiplier.shape[0]]
            out[i] = saturate_int8((value + (1 << (constants[1] - 1))) >> constants[1])


@compiled
def _norm_input(x: int, multiplier: int, shift: int) -> int:
    """A channel at i-LayerNorm's common scale, clipped to +-2^20."""
    return min(max(rescale(x, multiplier, shift), -NORM_INPUT_MAX), NORM_INPUT_MAX)
