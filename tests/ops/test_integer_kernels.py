"""Integer kernels against unbounded Python integers, and against the functions they stand for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferstack.ops import quantization
from inferstack.ops.kernels import arrays, integer

INT32 = st.integers(-(2**31) + 1, 2**31 - 1)
MULTIPLIER = st.integers(0, 2**31 - 1)
SHIFT = st.integers(1, 62)


def big_round(value: Fraction) -> int:
    """Nearest integer, halves up."""
    return math.floor(value + Fraction(1, 2))


def big_rescale(q: int, multiplier: int, shift: int) -> int:
    return big_round(Fraction(q * multiplier, 2**shift))


def clip(q: int, limit: int) -> int:
    return max(-limit, min(limit, q))


def big_gelu(q: int, constants: Sequence[int], out_multiplier: int, out_shift: int) -> int:
    qb, qc, drop = constants
    q = clip(q, 2**15 - 1)
    sign = (q > 0) - (q < 0)
    erf = sign * (qc - big_round(Fraction((min(abs(q), qb) - qb) ** 2, 2**drop)) ** 2)
    value = big_round(Fraction(q * (erf + qc), 2**16))
    assert abs(value) < 2**31
    return clip(big_rescale(value, out_multiplier, out_shift), 127)


def big_exp(q: int, qb: int, qc: int, q_ln2: int) -> int:
    z = min(math.floor(Fraction(-q, q_ln2)), 30)
    p = q + z * q_ln2 if z < 30 or -q < 31 * q_ln2 else 0
    return math.floor(Fraction(p * (p + qb) + qc, 2**z))


def big_softmax(
    x: Sequence[int], mask: Sequence[int], multiplier: int, shift: int, constants: Sequence[int]
) -> list[int]:
    qb, qc, q_ln2 = constants
    attended = [value for value, seen in zip(x, mask, strict=True) if seen]
    if not attended:
        return [0] * len(x)
    largest = max(attended)
    exponentials = [
        big_exp(big_rescale(max(value - largest, -(2**31) + 1), multiplier, shift), qb, qc, q_ln2)
        if seen
        else 0
        for value, seen in zip(x, mask, strict=True)
    ]
    exact = [Fraction(e * (127 * 2**46 // qc), 2**46) for e in exponentials]
    ends = [big_round(Fraction(sum(exact[:i]))) for i in range(len(x) + 1)]
    return [after - before for before, after in itertools.pairwise(ends)]


def big_mean(accumulator: int, total: int) -> int:
    factor = 2**37 // total if total else 0
    return big_round(Fraction(accumulator * factor, 2**21))


def big_layernorm(
    x: Sequence[int],
    tables: tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]],
    constants: Sequence[int],
) -> list[int]:
    multiplier, shift, gamma, beta = tables
    epsilon_sum, output_shift = constants
    n = len(x)
    common = [clip(big_rescale(x[i], multiplier[i], shift[i]), 2**20) for i in range(n)]
    mean = big_round(Fraction(sum(common), n))
    centred = [value - mean for value in common]
    std = math.isqrt(sum(y * y for y in centred) + epsilon_sum)
    factor = 2**46 // max(std, 1)
    norms = [big_round(Fraction(y * factor, 2**30)) for y in centred]
    return [
        clip(big_round(Fraction(norms[i] * gamma[i] + beta[i], 2**output_shift)), 127)
        for i in range(n)
    ]


@settings(deadline=None)
@given(INT32, st.integers(-(2**31) + 1, 2**31 - 1), SHIFT)
def test_rescale_equals_the_rounded_fraction_at_every_extreme(
    q: int, multiplier: int, shift: int
) -> None:
    assert integer.rescale(q, multiplier, shift) == big_rescale(q, multiplier, shift)
    assert integer.requantize(q, multiplier, shift) == clip(big_rescale(q, multiplier, shift), 127)


@given(st.floats(2.0**-32, 2.0**29))
def test_dyadic_has_31_bits(real: float) -> None:
    multiplier, shift = quantization.dyadic(real)
    assert 2**30 <= multiplier[0] < 2**31
    assert 1 <= shift[0] <= 62
    assert abs(Fraction(int(multiplier[0]), 2 ** int(shift[0])) / Fraction(real) - 1) <= 2.0**-31


def test_dyadic_of_zero_and_of_tiny_values() -> None:
    multiplier, shift = quantization.dyadic(np.array([0.0, 2.0**-40, 1.0]))
    assert multiplier.tolist() == [0, 2**22, 2**30]
    assert shift.tolist() == [31, 62, 30]


@pytest.mark.parametrize("real", [-1.0, math.inf, math.nan, 2.0**30])
def test_dyadic_refuses_what_it_cannot_hold(real: float) -> None:
    with pytest.raises(AssertionError, match="a rescale is"):
        quantization.dyadic(real)


@settings(deadline=None)
@given(st.integers(0, 2**62 - 1))
def test_i_sqrt_is_the_floor_of_the_root(n: int) -> None:
    assert integer.i_sqrt(n) == math.isqrt(n)


def test_i_sqrt_at_all_small_numbers_and_around_squares() -> None:
    roots = [*range(1, 2000), 2**16, 2**20 + 7, 2**31 - 1]
    numbers = [*range(70_000), *(r * r + d for r in roots for d in (-1, 0, 1))]
    assert all(integer.i_sqrt(n) == math.isqrt(n) for n in numbers)


@settings(deadline=None)
@given(INT32, st.floats(0.01, 100), st.floats(1e-4, 1))
def test_gelu_equals_unbounded_integers(q: int, largest: float, output_scale: float) -> None:
    attributes, value_scale = quantization.gelu_attributes(quantization.gelu_input_scale(largest))
    tables = quantization.dyadic(value_scale / output_scale)
    out = int(tables[0][0]), int(tables[1][0])
    constants = quantization.constants("gelu", attributes)
    assert constants[1] < 2**31
    assert constants[0] < 2**16
    assert -(-(int(constants[0]) ** 2) // 2 ** int(constants[2])) < 2**15 + 1
    assert integer.gelu_element(q, constants, *out) == big_gelu(q, constants.tolist(), *out)
    small = q % 2**16 - 2**15
    assert integer.gelu_element(small, constants, *out) == big_gelu(small, constants.tolist(), *out)


@settings(deadline=None)
@given(st.integers(0, 2**24) | st.integers(0, 2**62 - 1), st.floats(2.2e-5, 0.1))
def test_i_exp_equals_unbounded_integers(magnitude: int, scale: float) -> None:
    attributes = quantization.exponential_attributes(scale)
    qb, qc, q_ln2 = attributes["qb"], attributes["qc"], attributes["q_ln2"]
    assert qc < 2**33
    assert q_ln2 < 2**15
    result = integer.i_exp(-magnitude, qb, qc, q_ln2)
    assert result == big_exp(-magnitude, qb, qc, q_ln2)
    assert 0 <= result <= qc


@settings(deadline=None)
@given(st.data())
def test_softmax_row_equals_unbounded_integers(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 40))
    width = data.draw(st.sampled_from([4, 12, 20, 31]))
    limit = 2**width - 1
    x = data.draw(st.lists(st.integers(-limit, limit), min_size=n, max_size=n))
    mask = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    multiplier, shift = data.draw(MULTIPLIER), data.draw(SHIFT)
    constants = quantization.constants("softmax", quantization.exponential_attributes())
    out = np.full(n, 99, dtype=np.int8)
    total = integer.softmax_row(
        np.array(x, dtype=np.int32), np.array(mask), multiplier, shift, constants, out
    )
    assert out.tolist() == big_softmax(x, mask, multiplier, shift, constants.tolist())
    assert total == out.sum(dtype=np.int64)
    assert total >= 126 or not any(mask)
    values = data.draw(st.lists(st.integers(-127, 127), min_size=n, max_size=n))
    accumulator = sum(p * v for p, v in zip(out.tolist(), values, strict=True))
    factor = integer.row_factor(total)
    assert factor < 2**31
    assert integer.weighted_mean(accumulator, factor) == big_mean(accumulator, total)


@settings(deadline=None)
@given(st.data())
def test_layernorm_row_equals_unbounded_integers(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 40))
    limit = 2 ** data.draw(st.sampled_from([4, 12, 20, 31])) - 1
    table = st.integers(-(2**31) + 1, 2**31 - 1)

    def draw(strategy: st.SearchStrategy[int]) -> list[int]:
        return data.draw(st.lists(strategy, min_size=n, max_size=n))

    x = draw(st.integers(-limit, limit))
    tables = draw(MULTIPLIER), draw(SHIFT), draw(table), draw(table)
    constants = [data.draw(st.integers(0, 2**60)), data.draw(st.integers(1, 30))]
    out = np.full(n, 99, dtype=np.int8)
    multiplier, shift, gamma, beta = (np.array(values, dtype=np.int64) for values in tables)
    integer.layernorm_row(
        np.array(x, dtype=np.int32), multiplier, shift, gamma, beta, np.array(constants), out
    )
    assert out.tolist() == big_layernorm(x, tables, constants)


@pytest.mark.parametrize("n", [4096, 65_536])
def test_layernorm_row_holds_the_widest_row_at_its_limits(n: int) -> None:
    x = np.where(np.arange(n) % 2 == 0, 2**31 - 1, -(2**31) + 1).astype(np.int32)
    one = np.array([2**30], dtype=np.int64)
    shift = np.array([30], dtype=np.int64)
    gamma = np.full(n, 2**31 - 1, dtype=np.int64)
    beta = np.zeros(n, dtype=np.int64)
    out = np.zeros(n, dtype=np.int8)
    integer.layernorm_row(x, one, shift, gamma, beta, np.array([2**60, 30]), out)
    tables = [2**30] * n, [30] * n, gamma.tolist(), beta.tolist()
    assert out.tolist() == big_layernorm(x.tolist(), tables, [2**60, 30])


def test_a_row_without_variance_gives_beta() -> None:
    gamma = np.full(8, 1000, dtype=np.int64)
    beta = np.arange(8, dtype=np.int64) * 2**10
    out = np.zeros(8, dtype=np.int8)
    x = np.full(8, 1234, dtype=np.int32)
    one, shift = np.array([2**30]), np.array([30])
    integer.layernorm_row(x, one, shift, gamma, beta, np.array([0, 10]), out)
    assert out.tolist() == list(range(8))


@pytest.mark.parametrize("largest", [2.5, 4.0, 20.0, 300.0])
def test_i_gelu_is_a_quarter_as_wrong_as_the_square(largest: float) -> None:
    """At most 0.0040 at every range; I-BERT's square gives 0.018 (its table 1)."""
    x = np.linspace(-min(largest, 8), min(largest, 8), 20_001)
    scale = quantization.gelu_input_scale(largest)
    attributes, shifted_scale = quantization.gelu_attributes(scale)
    value_scale = shifted_scale / 2**integer.GELU_PRODUCT_SHIFT
    mine = np.array(
        [integer.i_gelu(round(value / scale), *attributes.values()) * value_scale for value in x]
    )
    truth = np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x])
    error = mine - truth
    assert float(np.abs(error).max()) < 0.0040 + scale


def test_i_exp_has_the_published_error() -> None:
    """Maximum 1.913e-3 with the constants of I-BERT's code (survey of the project, 7.1)."""
    attributes = quantization.exponential_attributes()
    scale = quantization.EXP_SCALE
    worst = max(
        abs(
            integer.i_exp(-q, attributes["qb"], attributes["qc"], attributes["q_ln2"])
            * quantization.EXP_A
            * scale**2
            - math.exp(-q * scale)
        )
        for q in range(0, 12 * 2**14, 7)
    )
    assert worst == pytest.approx(1.913e-3, abs=2e-6)


def test_softmax_array_is_close_to_softmax_and_masks_exactly() -> None:
    generator = np.random.default_rng(7)
    scores = generator.normal(0, 2, (2, 3, 5, 24))
    mask = (generator.random((2, 24)) < 0.7).astype(np.int64)
    mask[1] = 0
    scale = 2.0**-12
    multiplier, shift = quantization.dyadic(scale / quantization.EXP_SCALE)
    constants = quantization.constants("softmax", quantization.exponential_attributes())
    out = np.zeros(scores.shape, dtype=np.int8)
    x = np.rint(scores / scale).astype(np.int32)
    arrays.softmax_array(x, mask, True, 0, multiplier, shift, constants, out)
    visible = np.arange(24)[None, :] <= 24 - 5 + np.arange(5)[:, None]
    seen = (mask[:, None, None, :] != 0) & visible
    exponentials = np.where(seen, np.exp(scores - scores.max()), 0)
    truth = exponentials / np.maximum(exponentials.sum(-1, keepdims=True), 1e-300)
    assert (out[~np.broadcast_to(seen, out.shape)] == 0).all()
    assert (out[1] == 0).all()
    total = np.maximum(out.sum(axis=-1, keepdims=True, dtype=np.int64), 1)
    assert float(np.abs(out / total - truth).max()) < 1 / 127 + 2e-3


def test_layernorm_rows_are_close_to_layernorm() -> None:
    generator = np.random.default_rng(8)
    n = 384
    channel_scale = generator.uniform(1e-5, 1e-4, n)
    real = generator.normal(0.3, 1.5, (16, n))
    gamma, beta = generator.normal(0, 1, n), generator.normal(0, 0.5, n)
    common = 8 / 2**15
    multiplier, shift = quantization.dyadic(channel_scale / common)
    tables = quantization.layernorm_tables(
        gamma, beta, epsilon=1e-12, input_scale=common, output_scale=0.04
    )
    out = np.zeros((16, n), dtype=np.int8)
    arrays.layernorm_rows(
        np.rint(real / channel_scale).astype(np.int32),
        multiplier,
        shift,
        tables[0],
        tables[1],
        quantization.constants("layernorm", tables[2]),
        out,
    )
    centred = real - real.mean(-1, keepdims=True)
    truth = centred / np.sqrt((centred**2).mean(-1, keepdims=True)) * gamma + beta
    inside = np.abs(truth) < 0.04 * 127
    assert float(np.abs(out * 0.04 - truth)[inside].max()) < 0.52 * 0.04


@pytest.mark.parametrize("k", [1, 16, 1040, 1041, 5000])
def test_matmul_is_exact_at_the_extremes(k: int) -> None:
    generator = np.random.default_rng(k)
    a = generator.choice(np.array([-127, 127], dtype=np.int8), (2, 3, k))
    b = generator.choice(np.array([-127, 126, 127], dtype=np.int8), (k, 5))
    a[0, 0], b[:, 0] = 127, 127
    expected = a.astype(np.int64) @ b.astype(np.int64)
    result = arrays.matmul_int8(a, b)
    assert result.dtype == np.int32
    assert (result == expected).all()


def test_matmul_refuses_minus_128() -> None:
    with pytest.raises(AssertionError, match="-128"):
        arrays.matmul_int8(np.full((1, 2), -128, dtype=np.int8), np.ones((2, 1), dtype=np.int8))
