"""Integer norm, gates and rotary positions: unbounded Python integers, and what they stand for."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops.test_integer_kernels import big_exp, big_rescale, big_round, clip

from inferstack.ops import quantization
from inferstack.ops.kernels import gates, integer, positions, reference
from inferstack.ops.rotary import RULE as ROTARY
from inferstack.ops.rotary import cosine_sine

INT32 = st.integers(-(2**31) + 1, 2**31 - 1)
MULTIPLIER = st.integers(0, 2**31 - 1)
SHIFT = st.integers(1, 62)
EXPONENTIAL = dict(quantization.exponential_attributes())
CONSTANTS = quantization.constants("silu", EXPONENTIAL)


def big_sigmoid(q: int) -> int:
    qb, qc, q_ln2 = CONSTANTS.tolist()
    e = big_exp(-abs(q), qb, qc, q_ln2)
    return math.floor(Fraction((qc if q >= 0 else e) * 2**16, qc + e))


def big_silu(q: int, multiplier: int, shift: int, limit: int) -> int:
    x = clip(q, 2**26)
    value = big_round(Fraction(x * big_sigmoid(x), 2**16))
    assert abs(value) < 2**31
    return clip(big_rescale(value, multiplier, shift), limit)


@settings(deadline=None)
@given(INT32 | st.integers(-(2**18), 2**18), MULTIPLIER, SHIFT, st.sampled_from([127, 2**15 - 1]))
def test_silu_equals_unbounded_integers(q: int, multiplier: int, shift: int, limit: int) -> None:
    assert gates.i_sigmoid(q, *CONSTANTS) == big_sigmoid(q)
    expected = big_silu(q, multiplier, shift, limit)
    assert gates.silu_element(q, CONSTANTS, multiplier, shift, limit) == expected


def test_sigmoid_and_silu_are_close_to_what_they_stand_for() -> None:
    x = np.linspace(-30, 30, 6001)
    q = np.rint(x / quantization.EXP_SCALE).astype(np.int64)
    sigmoid = np.array([gates.i_sigmoid(int(v), *CONSTANTS) for v in q]) / 2**16
    assert np.abs(sigmoid - 1 / (1 + np.exp(-x))).max() < 0.0008
    scale = 1e-3
    tables = quantization.dyadic(quantization.EXP_SCALE / scale)
    silu = [gates.silu_element(int(v), CONSTANTS, int(tables[0][0]), int(tables[1][0]), 2**15 - 1)
            for v in q]  # fmt: skip
    assert np.abs(np.array(silu) * scale - x / (1 + np.exp(-x))).max() < 0.0013


def test_silu_gives_as_many_bits_as_are_asked_for() -> None:
    x = np.array([[-(2**31) + 1, -5000, 0, 5000, 2**31 - 1]], dtype=np.int32)
    inputs = {"x": x, "multiplier": np.array([2**30]), "shift": np.array([20])}
    wide = reference.silu(inputs, {**EXPONENTIAL, "bits": 16})
    narrow = reference.silu(inputs, EXPONENTIAL)
    assert (wide.dtype, narrow.dtype) == (np.dtype("int32"), np.dtype("int8"))
    assert wide.max() == 2**15 - 1
    assert narrow.max() == 127
    assert (wide[0, 2], narrow[0, 2]) == (0, 0)


@settings(deadline=None)
@given(st.data())
def test_multiply_equals_unbounded_integers(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 8))

    def draw(strategy: st.SearchStrategy[int]) -> list[int]:
        return data.draw(st.lists(strategy, min_size=n, max_size=n))

    a, b, multiplier, shift = draw(INT32), draw(INT32), draw(MULTIPLIER), draw(SHIFT)
    own, left = draw(MULTIPLIER), draw(SHIFT)
    inputs = {
        "a": np.array([a], dtype=np.int32),
        "b": np.array([b], dtype=np.int32),
        "a_multiplier": np.array(own),
        "a_shift": np.array(left),
        "out_multiplier": np.array(multiplier),
        "out_shift": np.array(shift),
    }
    limit = 2**15 - 1
    expected = [
        clip(
            big_rescale(
                clip(big_rescale(a[i], own[i], left[i]), limit) * clip(b[i], limit),
                multiplier[i], shift[i],
            ),
            127,
        )
        for i in range(n)
    ]  # fmt: skip
    assert reference.multiply(inputs).tolist() == [expected]
    whole = [
        clip(
            big_rescale(
                clip(big_rescale(a[i], own[i], left[i]), limit) * clip(b[i], limit),
                multiplier[i], shift[i],
            ),
            127 * 128 + 63,
        )
        for i in range(n)
    ]  # fmt: skip
    high, low = (reference.multiply(inputs, part) for part in ("high", "low"))
    assert (high.dtype, low.dtype) == (np.dtype("int8"), np.dtype("int8"))
    assert high.tolist() == [[big_round(Fraction(value, 128)) for value in whole]]
    assert (128 * high.astype(np.int64) + low).tolist() == [whole]
    assert -127 <= high.min() <= high.max() <= 127


@settings(deadline=None)
@given(st.data())
def test_rmsnorm_equals_unbounded_integers(data: st.DataObject) -> None:
    width, rows = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    n = width * rows
    limit = 2 ** data.draw(st.sampled_from([4, 12, 20, 31])) - 1

    def draw(strategy: st.SearchStrategy[int], size: int) -> list[int]:
        return data.draw(st.lists(strategy, min_size=size, max_size=size))

    x = draw(st.integers(-limit, limit), n)
    multiplier, shift = draw(MULTIPLIER, n), draw(SHIFT, n)
    gamma = draw(st.integers(-(2**31) + 1, 2**31 - 1), data.draw(st.sampled_from([width, n])))
    epsilon_sum, output_shift = data.draw(st.integers(0, 2**60)), data.draw(st.integers(1, 30))
    common = [clip(big_rescale(x[i], multiplier[i], shift[i]), 2**20) for i in range(n)]
    expected = []
    for i in range(n):
        row = common[i // width * width :][:width]
        root = math.isqrt(sum(y * y for y in row) + epsilon_sum)
        norm = big_round(Fraction(common[i] * (2**46 // max(root, 1)), 2**30))
        value = Fraction(norm * gamma[i % len(gamma)], 2**output_shift)
        expected.append(clip(big_round(value), 127))
    out = np.zeros(n, dtype=np.int8)
    packed = np.array([epsilon_sum, output_shift])
    tables = np.array(multiplier), np.array(shift), np.array(gamma)
    integer.rmsnorm_row(np.array(x, dtype=np.int32), width, *tables, packed, out)
    assert out.tolist() == expected


@settings(deadline=None)
@given(st.data())
def test_rotary_equals_unbounded_integers(data: st.DataObject) -> None:
    pairs, start = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 2))
    width = start + 2 * pairs + data.draw(st.integers(0, 2))
    interleaved = data.draw(st.booleans())

    def draw(strategy: st.SearchStrategy[int], size: int) -> list[int]:
        return data.draw(st.lists(strategy, min_size=size, max_size=size))

    x, multiplier, shift = draw(INT32, width), draw(MULTIPLIER, width), draw(SHIFT, width)
    angle = st.integers(-(2**15), 2**15)
    cosine, sine = draw(angle, pairs), draw(angle, pairs)
    last = data.draw(MULTIPLIER), data.draw(SHIFT)
    held = [clip(big_rescale(x[i], multiplier[i], shift[i]), 2**15 - 1) for i in range(width)]
    turned = [value * 2**14 for value in held]
    for p in range(pairs):
        low = start + (2 * p if interleaved else p)
        high = low + (1 if interleaved else pairs)
        turned[low] = held[low] * cosine[p] - held[high] * sine[p]
        turned[high] = held[high] * cosine[p] + held[low] * sine[p]
    expected = [clip(big_rescale(clip(v, 2**31 - 1), *last), 127) for v in turned]
    out = np.zeros((1, 1, 1, width), dtype=np.int8)
    positions.rotary_array(
        np.array(x, dtype=np.int32).reshape(1, 1, 1, width), np.array(multiplier), np.array(shift),
        np.array([cosine]), np.array([sine]), start, interleaved, *last, out,
    )  # fmt: skip
    assert out.reshape(-1).tolist() == expected


@pytest.mark.parametrize(
    "attributes",
    [{}, {"interleaved": True}, {"turned": 4}, {"turned": 4, "skipped": 2}, {"first": 5}],
    ids=str,
)
def test_rotary_is_close_to_what_it_stands_for(attributes: dict[str, Any]) -> None:
    attributes = {"heads": 2, "theta": 100.0, **attributes}
    real = np.random.default_rng(1).normal(size=(2, 7, 16))
    whole = cosine_sine(attributes.get("first", 0), 7, 8, attributes)
    cosine, sine = (np.rint(table[:, 0] * 2**14).astype(np.int64) for table in whole)
    scale, out_scale = 1e-4, 0.05
    multiplier, shift = quantization.dyadic(scale / 2**14 / out_scale)
    inputs = {
        "x": np.rint(real / scale).astype(np.int32), "cosine": cosine, "sine": sine,
        "out_multiplier": multiplier, "out_shift": shift,
    }  # fmt: skip
    result = ROTARY.integer_reference(inputs, attributes) * out_scale
    assert np.abs(result - ROTARY.reference({"x": real}, attributes)).max() <= 0.5 * 0.05 + 0.001


@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("causal", [False, True])
def test_softmax_sees_no_key_outside_its_window(window: int, causal: bool) -> None:
    x = np.random.default_rng(2).integers(-9000, 9000, (1, 1, 4, 6)).astype(np.int32)
    attributes = {**EXPONENTIAL, "causal": causal, "window": window}
    tables = {"multiplier": np.array([2**30]), "shift": np.array([32])}
    result = reference.softmax({"x": x, **tables}, attributes)
    for t in range(4):
        ahead = np.arange(6) - (2 + t)
        hidden = (np.abs(ahead) >= window) | (causal & (ahead > 0))
        alone = reference.softmax(
            {"x": x[:, :, t : t + 1], "mask": (~hidden)[None].astype(np.int64), **tables},
            EXPONENTIAL,
        )
        assert np.array_equal(result[0, 0, t], alone[0, 0, 0])


def test_relu_is_zero_below_zero_and_rescaled_above() -> None:
    x = np.array([[-(2**31) + 1, -1, 0, 1, 100, 101, 2**31 - 1]], dtype=np.int32)
    result = reference.relu({"x": x, "multiplier": np.array([2**30]), "shift": np.array([31])})
    assert result.tolist() == [[0, 0, 0, 1, 50, 51, 127]]
    assert reference.relu({"x": x.astype(np.int8)}).dtype == np.dtype("int8")
