"""Integer kernels at the edges that their docstrings state, against unbounded integers."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.ops import quantization
from inferstack.ops.kernels import arrays, integer, reference

Array = npt.NDArray[Any]
INT32 = 2**31 - 1


def rounded(value: Fraction) -> int:
    """Nearest integer, halves up."""
    return math.floor(value + Fraction(1, 2))


@pytest.mark.parametrize(
    ("q", "expected"), [(126, 126), (127, 127), (128, 127), (-127, -127), (-128, -127), (0, 0)]
)
def test_int8_is_symmetric(q: int, expected: int) -> None:
    assert integer.saturate_int8(q) == expected
    assert integer.requantize(2 * q, 2**30, 31) == expected


@pytest.mark.parametrize("over", [-1, 0, 1, 2**40])
def test_int32_is_symmetric(over: int) -> None:
    assert integer.saturate_int32(INT32 + over) == INT32 + min(over, 0)
    assert integer.saturate_int32(-INT32 - over) == -INT32 - min(over, 0)
    assert integer.add_element(INT32 - 5, 5 + over) == INT32 + min(over, 0)
    assert integer.add_element(-INT32 + 5, -5 - over) == -INT32 - min(over, 0)


@pytest.mark.parametrize("shift", [1, 2, 31, 61, 62])
@pytest.mark.parametrize("q", [-3, -2, -1, 0, 1, 2, 3, INT32, -INT32])
def test_a_rescale_rounds_halves_up(q: int, shift: int) -> None:
    for multiplier in (1, 2, 3, 2**30, INT32):
        exact = rounded(Fraction(q * multiplier, 2**shift))
        assert integer.rescale(q, multiplier, shift) == exact


def test_i_poly() -> None:
    assert integer.i_poly(3, -10, 4) == 53
    assert integer.i_poly(-3, -10, -4) == 165


@pytest.mark.parametrize(("qb", "drop"), [(7, 0), (7, 1), (100, 4), (2**16 - 1, 17)])
def test_i_erf_is_odd_and_flat_from_qb(qb: int, drop: int) -> None:
    qc = 2**31 - 1 if drop == 17 else 10**6
    assert integer.i_erf(0, qb, qc, drop) == 0
    for q in (1, 2, 3, qb - 1, qb, qb + 1, 2**15 - 1):
        h = rounded(Fraction((min(q, qb) - qb) ** 2, 2**drop))
        assert integer.i_erf(q, qb, qc, drop) == qc - h * h
        assert integer.i_erf(-q, qb, qc, drop) == h * h - qc
    assert integer.i_erf(qb, qb, qc, drop) == qc


@pytest.mark.parametrize("q", [2**15 - 2, 2**15 - 1, 2**15, 2**15 + 1, INT32])
def test_gelu_s_input_is_clipped_to_16_bits(q: int) -> None:
    """With qb at 2^16 - 1, every value of the input gives another value of the output."""
    constants = np.array([2**16 - 1, 2**31 - 1, 17])
    clipped = min(q, 2**15 - 1)
    for sign in (1, -1):
        product = integer.i_gelu(sign * clipped, 2**16 - 1, 2**31 - 1, 17)
        value = rounded(Fraction(product, 2**16))
        for shift in (54, 55, 56):
            found = integer.gelu_element(sign * q, constants, 2**30, shift)
            assert found == integer.requantize(value, 2**30, shift)


@pytest.mark.parametrize("scale", [2.2e-5, quantization.EXP_SCALE, 1e-3, 0.1])
def test_i_exp_at_every_power_of_two(scale: float) -> None:
    """Down to exp(-30 ln 2) by the polynomial; beyond, where p is taken as 0, by 30 bits."""
    made = quantization.exponential_attributes(scale)
    qb, qc, q_ln2 = made["qb"], made["qc"], made["q_ln2"]
    assert integer.i_exp(0, qb, qc, q_ln2) == qc
    for z in range(34):
        for rest in sorted({0, 1, q_ln2 // 2, q_ln2 - 1}):
            p = -rest if z <= 30 else 0
            exact = (p * (p + qb) + qc) // 2 ** min(z, 30)
            found = integer.i_exp(-z * q_ln2 - rest, qb, qc, q_ln2)
            assert found == exact


def test_i_exp_ends_at_zero() -> None:
    """At the scale that programs use: qc is under 2^31, and 30 bits leave one."""
    made = quantization.exponential_attributes()
    qb, qc, q_ln2 = made["qb"], made["qc"], made["q_ln2"]
    assert (qc >> 30, integer.i_exp(-40 * q_ln2, qb, qc, q_ln2)) == (1, 1)
    coarse = quantization.exponential_attributes(1e-3)
    assert integer.i_exp(-40 * coarse["q_ln2"], coarse["qb"], coarse["qc"], coarse["q_ln2"]) == 0


@pytest.mark.parametrize(
    ("total", "factor"),
    [
        (-1, 0),
        (0, 0),
        (1, INT32),
        (63, INT32),
        (64, INT32),
        (65, 2**37 // 65),
        (126, 2**37 // 126),
        (127 * 512, 2**37 // (127 * 512)),
    ],
)
def test_the_factor_of_a_row(total: int, factor: int) -> None:
    assert integer.row_factor(total) == factor


@pytest.mark.parametrize("accumulator", [-3, -2, -1, 0, 1, 2, 3, 12_345])
def test_a_mean_is_rounded_to_nearest(accumulator: int) -> None:
    """Halves up: the factor of a row that sums to 2^17 has 20 bits below the mean's unit."""
    for factor in (2**19, 2**20, 2**20 + 1, 2**21):
        exact = rounded(Fraction(accumulator * factor, 2**21))
        assert integer.weighted_mean(accumulator, factor) == exact


def test_what_rounding_leaves_goes_to_the_next_probability() -> None:
    factor = integer.probability_factor(254)
    assert factor == 127 * 2**46 // 254
    carry, found = 2**45, []
    for _ in range(6):
        probability, carry = integer.next_probability(carry, 1, factor)
        assert 0 <= carry < 2**46
        found.append(probability)
    assert found == [1, 0, 1, 0, 1, 0]
    assert integer.next_probability(2**46 - 1, 254, factor) == (127, 2**46 - 1)


def softmax(x: list[int], mask: list[int], shift: int = 30) -> tuple[list[int], int]:
    """Probabilities and their sum, one unit of x being one of i-exp at shift 30."""
    out = np.full(len(x), 99, dtype=np.int8)
    constants = quantization.constants("softmax", quantization.exponential_attributes())
    row, seen = np.array(x, dtype=np.int32), np.array(mask)
    total = integer.softmax_row(row, seen, 2**30, shift, constants, out)
    return out.tolist(), int(total)


def test_the_largest_that_is_attended_counts() -> None:
    ln2 = 2**14
    assert softmax([0, 10 * ln2, -ln2], [1, 0, 1]) == ([127, 0, 63], 190)
    assert softmax([5], [1]) == ([127], 127)
    assert softmax([5, 5], [1, 2]) == ([127, 127], 254)
    assert softmax([5, 6], [0, 0]) == ([0, 0], 0)
    assert softmax([-INT32, -INT32], [1, 1]) == ([127, 127], 254)
    # The difference of the extremes is clipped to int32 before its rescale.
    assert softmax([INT32, -INT32], [1, 1], 46) == ([127, 64 - 32], 127 + 32)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_integer_layernorm_of_rows_worked_out_by_hand(n: int) -> None:
    """x - mean, over the root of their squares' sum: halves of the mean go up."""
    x = np.array([4, 1, 1][:n], dtype=np.int32)
    mean = {1: 4, 2: 3, 3: 2}[n]
    y = [int(value) - mean for value in x]
    std = math.isqrt(sum(v * v for v in y) + 6)
    out = np.zeros(n, dtype=np.int8)
    one, shift = np.array([2**30]), np.array([30])
    gamma, beta = np.full(n, 50 * 2**4), np.arange(n) * 2**20
    integer.layernorm_row(x, one, shift, gamma, beta, np.array([6, 20]), out)
    for index, value in enumerate(y):
        norm = rounded(Fraction(value * (2**46 // std), 2**30))
        exact = rounded(Fraction(norm * 800 + index * 2**20, 2**20))
        assert out[index] == max(-127, min(127, exact))


@pytest.mark.parametrize("value", [2**20 - 1, 2**20, 2**20 + 1, 2**21])
def test_layernorm_s_input_is_clipped(value: int) -> None:
    """Beside zero: the root of the squares' sum shows where the input ends."""
    out = np.zeros(2, dtype=np.int8)
    clipped = min(value, 2**20)
    one, shift, gamma = np.array([2**30]), np.array([30]), np.array([2**14, 2**14])
    for sign in (1, -1):
        x = np.array([sign * value, 0], dtype=np.int32)
        epsilon = 2**59 - clipped**2 // 2
        integer.layernorm_row(x, one, shift, gamma, gamma * 0, np.array([epsilon, 1]), out)
        mean = (2 * sign * clipped + 2) // 4
        std = math.isqrt((sign * clipped - mean) ** 2 + mean**2 + epsilon)
        norm = rounded(Fraction((sign * clipped - mean) * (2**46 // std), 2**30))
        assert out[0] == max(-127, min(127, rounded(Fraction(norm * 2**14, 2))))


def test_tables_of_one_entry_and_of_one_for_each_channel() -> None:
    x = np.array([[1000, 1000, -1000], [500, -500, 250]], dtype=np.int32)
    ratio = np.array([0.5, 0.25, 0.125])
    wide: Array = np.empty(x.shape, dtype=np.int64)
    arrays.rescale_rows(x, *quantization.dyadic(ratio), wide)
    assert wide.tolist() == [[500, 250, -125], [250, -125, 31]]
    arrays.rescale_rows(x, *quantization.dyadic(ratio[:1]), wide)
    assert wide.tolist() == [[500, 500, -500], [250, -250, 125]]
    narrow: Array = np.empty(x.shape, dtype=np.int8)
    arrays.requantize_rows(x, *quantization.dyadic(ratio / 4), narrow)
    assert narrow.tolist() == [[125, 63, -31], [63, -31, 8]]
    arrays.requantize_rows(x, *quantization.dyadic(ratio[:1] / 4), narrow)
    assert narrow.tolist() == [[125, 125, -125], [63, -62, 31]]


def test_gelu_takes_the_tables_of_each_channel() -> None:
    """Far from zero GELU is the input itself, so both tables show in the result."""
    attributes, value_scale = quantization.gelu_attributes(quantization.gelu_input_scale(16.0))
    common = quantization.gelu_input_scale(16.0)
    x = np.full((1, 3), 8000, dtype=np.int32)
    into, outof = np.array([0.5, 1.0, 2.0]), np.array([0.1, 0.2, 0.4])
    inputs: dict[str, Array] = {"x": x}
    inputs |= dict(zip(("multiplier", "shift"), quantization.dyadic(into), strict=True))
    names = ("out_multiplier", "out_shift")
    inputs |= dict(zip(names, quantization.dyadic(value_scale / outof), strict=True))
    exact = np.rint(8000 * into * common / outof)
    assert np.abs(reference.gelu(inputs, attributes) - exact).max() <= 1
    one = dict(zip(("multiplier", "shift"), quantization.dyadic(into[1]), strict=True))
    exact = np.rint(8000 * common / outof)
    assert np.abs(reference.gelu({**inputs, **one}, attributes) - exact).max() <= 1
    one |= dict(zip(names, quantization.dyadic(value_scale / 0.1), strict=True))
    assert np.ptp(reference.gelu({**inputs, **one}, attributes)) == 0


@pytest.mark.parametrize("causal", [False, True])
def test_each_head_has_its_table_and_each_query_its_past(causal: bool) -> None:
    x = np.array([[0, 2**14, 2 * 2**14, 3 * 2**14]] * 2, dtype=np.int32)
    scores = np.stack([x, x])[None]
    mask = np.array([[1, 1, 1, 1]])
    constants = quantization.constants("softmax", quantization.exponential_attributes())
    out = np.empty(scores.shape, dtype=np.int8)
    shift = np.array([30, 60])
    arrays.softmax_array(scores, mask, causal, 0, np.array([2**30] * 2), shift, constants, out)
    full = [16, 32, 63, 127]
    assert out[0, 0, 1].tolist() == full
    assert out[0, 1, 1].tolist() == [127] * 4
    assert out[0, 0, 0].tolist() == ([32, 63, 127, 0] if causal else full)
    assert out[0, 1, 0].tolist() == ([127, 127, 127, 0] if causal else [127] * 4)
    one = np.empty(scores.shape, dtype=np.int8)
    arrays.softmax_array(scores, mask, causal, 0, shift[:1] * 0 + 2**30, shift[:1], constants, one)
    assert np.array_equal(one[:, 0], one[:, 1])
    assert np.array_equal(one[:, 0], out[:, 0])


def test_probabilities_of_floating_point_rows() -> None:
    x = np.array([[0.25, 0.5, 0.125, 0.0], [0.0, 0.0, 0.0, 0.0], [1e-9, 1.0, 0.0, 0.5]])
    out: Array = np.full(x.shape, 99, dtype=np.int8)
    arrays.share_rows(x, out)
    assert out.tolist() == [[64, 127, 31, 0], [0, 0, 0, 0], [0, 127, 0, 64]]


def test_a_mean_of_rows_divides_by_their_sum() -> None:
    sums = np.array([[100, -100, 3], [5, 5, 5]], dtype=np.int32)
    probabilities = np.array([[50, 50], [0, 0]], dtype=np.int8)
    out: Array = np.full(sums.shape, 99, dtype=np.int32)
    arrays.mean_rows(sums, probabilities, out)
    factor = 2**37 // 100
    exact = [rounded(Fraction(v * factor, 2**21)) for v in (100, -100, 3)]
    assert out.tolist() == [exact, [0, 0, 0]]


@pytest.mark.parametrize("k", [0, 1, 133_143])
def test_a_product_of_any_length_that_stays_in_int32(k: int) -> None:
    a, b = np.full((1, k), 127, dtype=np.int8), np.full((k, 1), -127, dtype=np.int8)
    assert arrays.matmul_int8(a, b).tolist() == [[-k * 127 * 127]]


def test_a_product_that_may_leave_int32_is_refused() -> None:
    a = np.zeros((1, 133_144), dtype=np.int8)
    with pytest.raises(AssertionError, match="133144 products of int8 may leave int32"):
        arrays.matmul_int8(a, a.T)
    with pytest.raises(AssertionError, match="holds -128"):
        arrays.matmul_int8(np.ones((1, 2), np.int8), np.full((2, 1), -128, np.int8))


@pytest.mark.parametrize("excess", [0, 1])
def test_a_bias_up_to_the_end_of_int32(excess: int) -> None:
    a, b = np.full((1, 1), 127, dtype=np.int8), np.full((1, 1), 127, dtype=np.int8)
    for sign in (1, -1):
        bias = np.array([sign * (INT32 - 127 * 127 + excess)], dtype=np.int64)
        inputs: dict[str, Array] = {"a": a, "b": sign * b, "bias": bias}
        if excess:
            with pytest.raises(AssertionError, match="leaves int32"):
                reference.matmul(inputs, False)
        else:
            assert reference.matmul(inputs, False).tolist() == [[sign * INT32]]


@pytest.mark.parametrize("scale", [0.1, 0.02])
def test_quantizing_rounds_half_to_even_and_clips(scale: float) -> None:
    units = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 126.4, 126.6, 127.6, -128.0, 1000.0])
    found = quantization.quantize(units * scale, scale)
    assert found.tolist() == [0, 2, 2, 0, -2, 126, 127, 127, -127, 127]
    assert found.dtype == np.int8


def test_a_mantissa_that_rounds_up_to_a_power_of_two() -> None:
    for exponent in (-3, 0, 7):
        real = math.ldexp(1 - 2.0**-40, exponent)
        multiplier, shift = quantization.dyadic(real)
        assert (multiplier.tolist(), shift.tolist()) == ([2**30], [30 - exponent])
    multiplier, shift = quantization.dyadic(math.ldexp(1 - 2.0**-40, -32))
    assert (multiplier.tolist(), shift.tolist()) == ([2**30], [62])
    multiplier, shift = quantization.dyadic(1.5 * 2.0**-60)
    assert (multiplier.tolist(), shift.tolist()) == ([6], [62])


@pytest.mark.parametrize("largest", [1.0, 2.0, 2.5, 400.0])
def test_gelu_s_constants(largest: float) -> None:
    """b, 1 / (a S^4) and the shift that keeps the square in 15 bits, at S = scale / sqrt 2."""
    scale = quantization.gelu_input_scale(largest)
    assert scale == max(largest, 2.0) / 32767
    made, value_scale = quantization.gelu_attributes(scale)
    qb = math.floor(2.6138 * math.sqrt(2) / scale)
    assert made["qb"] == max(qb, 1)
    assert made["drop"] == max(0, 2 * made["qb"].bit_length() - 15)
    unit = 0.0235375 * (scale / math.sqrt(2)) ** 4 * 4 ** made["drop"]
    assert made["qc"] == math.floor(1 / unit)
    assert value_scale == pytest.approx(scale * unit / 2 * 2**16, rel=1e-12)


def test_a_coarse_gelu_has_a_constant_of_one() -> None:
    made, _ = quantization.gelu_attributes(10.0)
    assert (made["qb"], made["drop"]) == (1, 0)


def test_softmax_s_constants() -> None:
    made = quantization.exponential_attributes()
    scale = math.log(2) / 2**14
    assert made["q_ln2"] == 2**14
    assert made["qb"] == math.floor(0.96963238 / 0.35815147 / scale)
    assert made["qc"] == math.floor(1 / 0.35815147 / scale**2)


@pytest.mark.parametrize(
    ("gamma", "beta", "shift"),
    [(1.0, 0.0, 30), (0.0, 0.0, 30), (2.0**17, 1.0, 28), (1.0, 2.0**12, 18), (1.0, -(2.0**29), 1)],
)
def test_layernorm_s_tables_use_int32(gamma: float, beta: float, shift: int) -> None:
    """Of four channels, gamma times 2 over 2^16 at unit scale, and as many bits as fit."""
    made = quantization.layernorm_tables(
        np.array([gamma, 0, 0, 0]),
        np.array([beta, 0, 0, 0]),
        epsilon=1e-3,
        input_scale=0.1,
        output_scale=1.0,
    )
    assert made[2] == {"epsilon_sum": round(4 * 1e-3 / 0.1**2), "output_shift": shift}
    assert made[0].tolist() == [round(gamma * 2 / 2**16 * 2**shift), 0, 0, 0]
    assert made[1].tolist() == [round(beta * 2**shift), 0, 0, 0]


def test_an_epsilon_beyond_all_inputs_stops_at_2_to_the_60() -> None:
    one = np.ones(1)
    made = quantization.layernorm_tables(one, one, epsilon=1.0, input_scale=1e-12, output_scale=1.0)
    assert made[2]["epsilon_sum"] == 2**60
    with pytest.raises(AssertionError, match="leave int32"):
        quantization.layernorm_tables(
            one * 2.0**32, one * 2.0**31, epsilon=1e-5, input_scale=1, output_scale=1
        )
