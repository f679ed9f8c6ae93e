"""Whole integer operators against slow, plain Python on small random tensors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.ops import quantization
from inferstack.ops.kernels import integer, reference

Array = npt.NDArray[Any]


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(11)


def int8(random: np.random.Generator, *shape: int) -> Array:
    return random.integers(-127, 128, shape).astype(np.int8)


def tables(random: np.random.Generator, n: int) -> dict[str, Array]:
    return {
        "multiplier": random.integers(2**30, 2**31, n),
        "shift": random.integers(36, 42, n),
    }


def requantized(accumulator: int, given: dict[str, Array], channel: int) -> int:
    index = channel if given["multiplier"].size > 1 else 0
    q = (accumulator * int(given["multiplier"][index])) / 2 ** int(given["shift"][index])
    return max(-127, min(127, int(np.floor(q + 0.5))))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("channels", [0, 1, 5])
def test_matmul(random: np.random.Generator, transposed: bool, channels: int) -> None:
    a, b = int8(random, 2, 3, 7), int8(random, 7, 5)
    bias = random.integers(-(2**20), 2**20, 5).astype(np.int32)
    given = tables(random, channels) if channels else {}
    stored = np.ascontiguousarray(b.T) if transposed else b
    result = reference.matmul({"a": a, "b": stored, "bias": bias, **given}, transposed)
    assert result.dtype == (np.int8 if channels else np.int32)
    for i, j, n in itertools.product(range(2), range(3), range(5)):
        total = sum(int(a[i, j, k]) * int(b[k, n]) for k in range(7)) + int(bias[n])
        assert result[i, j, n] == (requantized(total, given, n) if channels else total)


def test_matmul_refuses_a_bias_that_leaves_int32(random: np.random.Generator) -> None:
    a, b = np.full((1, 4), 127, dtype=np.int8), np.full((4, 1), 127, dtype=np.int8)
    bias = np.array([2**31 - 1], dtype=np.int32)
    with pytest.raises(AssertionError, match="accumulator leaves int32"):
        reference.matmul({"a": a, "b": b, "bias": bias}, False)


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (4, 1)])
def test_attention(random: np.random.Generator, heads: int, kv_heads: int) -> None:
    query, key = int8(random, 2, 3, heads * 5), int8(random, 2, 6, kv_heads * 5)
    scores = reference.attention_scores({"query": query, "key": key}, heads, kv_heads)
    assert scores.shape == (2, heads, 3, 6)
    for b, h, i, j in itertools.product(range(2), range(heads), range(3), range(6)):
        g = h // (heads // kv_heads)
        left, right = query[b, i, 5 * h : 5 * h + 5], key[b, j, 5 * g : 5 * g + 5]
        assert scores[b, h, i, j] == sum(int(x) * int(y) for x, y in zip(left, right, strict=True))
    probabilities = np.abs(int8(random, 2, heads, 3, 6))
    given = tables(random, heads * 5)
    inputs = {"probabilities": probabilities, "value": key, **given}
    context = reference.attention_context(inputs, heads, kv_heads)
    assert context.dtype == np.int8
    for b, i, c in itertools.product(range(2), range(3), range(heads * 5)):
        h, d = divmod(c, 5)
        column = key[b, :, 5 * (h // (heads // kv_heads)) + d]
        total = sum(int(p) * int(v) for p, v in zip(probabilities[b, h, i], column, strict=True))
        factor = 2**37 // sum(probabilities[b, h, i].tolist())
        mean = (total * factor + 2**20) // 2**21
        assert context[b, i, c] == requantized(mean, given, c)


def test_add_rescales_the_side_that_has_tables(random: np.random.Generator) -> None:
    a = random.integers(-(2**24), 2**24, (2, 3, 4)).astype(np.int32)
    b = int8(random, 2, 3, 4)
    multiplier, shift = quantization.dyadic(np.array([1000.0, 3.25, 0.5, 7.125]))
    result = reference.add({"a": a, "b": b, "b_multiplier": multiplier, "b_shift": shift})
    assert result.dtype == np.int32
    ratio = np.array([1000.0, 3.25, 0.5, 7.125])
    assert np.array_equal(result, a + np.floor(b * ratio + 0.5).astype(np.int64))


def test_add_broadcasts_and_saturates() -> None:
    a = np.array([[[2**31 - 5, -(2**31) + 5]], [[1, 2]]], dtype=np.int32)
    b = np.array([[100, -100]], dtype=np.int8)
    limit = 2**31 - 1
    assert reference.add({"a": a, "b": b}).tolist() == [[[limit, -limit]], [[101, -98]]]


def test_operators_are_their_rows(random: np.random.Generator) -> None:
    """softmax, gelu and layernorm are the row kernels that the machine calls, row by row."""
    x = random.integers(-(2**16), 2**16, (2, 2, 3, 8)).astype(np.int32)
    mask = np.array([[1, 1, 1, 0, 1, 1, 0, 0], [1] * 8])
    multiplier, shift = np.array([2**30]), np.array([32])
    given = {"multiplier": multiplier, "shift": shift}
    attributes: dict[str, Any] = dict(quantization.exponential_attributes())
    packed = quantization.constants("softmax", attributes)
    result = reference.softmax({"x": x, "mask": mask, **given}, attributes)
    out = np.zeros(8, dtype=np.int8)
    for b, h, t in itertools.product(range(2), range(2), range(3)):
        integer.softmax_row(x[b, h, t], mask[b], 2**30, 32, packed, out)
        assert np.array_equal(result[b, h, t], out)
    causal = reference.softmax({"x": x, **given}, {**attributes, "causal": True})
    assert (causal[:, :, 0, 6:] == 0).all()
    assert (causal[:, :, 1, 7:] == 0).all()

    attributes = dict(quantization.gelu_attributes(1e-3)[0])
    packed = quantization.constants("gelu", attributes)
    out_multiplier, out_shift = tables(random, 8).values()
    out_tables = {"out_multiplier": out_multiplier, "out_shift": out_shift}
    result = reference.gelu({"x": x, **given, **out_tables}, attributes)
    for index in itertools.product(range(2), range(2), range(3)):
        integer.gelu_row(x[index], multiplier, shift, out_multiplier, out_shift, packed, out)
        assert np.array_equal(result[index], out)

    gamma, beta, attributes = quantization.layernorm_tables(
        random.normal(1, 0.2, 8),
        random.normal(0, 1, 8),
        epsilon=1e-5,
        input_scale=1e-3,
        output_scale=0.05,
    )
    packed = quantization.constants("layernorm", attributes)
    result = reference.layernorm({"x": x, "gamma": gamma, "beta": beta, **given}, attributes)
    for index in itertools.product(range(2), range(2), range(3)):
        integer.layernorm_row(x[index], multiplier, shift, gamma, beta, packed, out)
        assert np.array_equal(result[index], out)


def softmax_of(scores: Array, mask: Array | None = None) -> Array:
    """Integer probabilities of real scores (batch, heads, tokens, context)."""
    multiplier, shift = quantization.dyadic(2.0**-16 / quantization.EXP_SCALE)
    inputs: dict[str, Array] = {
        "x": np.rint(scores * 2**16).astype(np.int32),
        "multiplier": multiplier,
        "shift": shift,
    }
    if mask is not None:
        inputs["mask"] = mask
    return reference.softmax(inputs, dict(quantization.exponential_attributes()))


@pytest.mark.parametrize("tokens", [16, 100, 128, 200, 256, 500, 512, 1000, 1024])
@pytest.mark.parametrize("spread", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("peak", [0.0, 7.0])
def test_diffuse_attention_keeps_its_mass(tokens: int, spread: float, peak: float) -> None:
    """Every stretch of a row has its exact share to within 1 of the row's integer sum.

    Equal scores, scattered ones, and a thin rest beside one large score: below 1 / 254 of the
    largest, all of which nearest rounding would lose. The context is the mean of the values to
    within 1 / 32 of their unit where scores are equal.
    """
    random = np.random.default_rng(tokens)
    scores = random.normal(0, spread, (1, 1, 4, tokens))
    scores[..., 3] += peak
    probabilities = softmax_of(scores)
    exact = np.exp(scores - scores.max(-1, keepdims=True)) * 127
    kept = np.cumsum(probabilities, axis=-1, dtype=np.int64) - np.cumsum(exact, axis=-1)
    # i-exp itself is off by 0.2 %.
    assert (np.abs(kept) <= 1 + 0.003 * exact.sum(-1, keepdims=True)).all()
    value = random.integers(-127, 128, (1, tokens, 8)).astype(np.int8)
    context = reference.attention_context({"probabilities": probabilities, "value": value}, 1, 1)
    if spread == peak == 0:
        assert np.abs(context[0] / 2**16 - value[0].mean(axis=0)).max() < 1 / 32


def test_a_row_of_which_nothing_is_attended_gives_zeros() -> None:
    probabilities = softmax_of(np.ones((1, 1, 2, 5)), np.zeros((1, 5), dtype=np.int64))
    value = np.full((1, 5, 3), 77, dtype=np.int8)
    context = reference.attention_context({"probabilities": probabilities, "value": value}, 1, 1)
    assert not probabilities.any()
    assert not context.any()


def test_masked_positions_change_no_bit(random: np.random.Generator) -> None:
    scores, value = random.normal(0, 2, (1, 1, 3, 9)), int8(random, 1, 9, 4)
    mask = np.array([[1, 0, 1, 1, 0, 1, 1, 0, 0]])
    seen = np.flatnonzero(mask[0])
    whole, part = softmax_of(scores, mask), softmax_of(scores[..., seen])
    assert np.array_equal(whole[..., seen], part)
    contexts = [
        reference.attention_context({"probabilities": p, "value": v}, 1, 1)
        for p, v in ((whole, value), (part, value[:, seen]))
    ]
    assert np.array_equal(contexts[0], contexts[1])


def test_the_host_s_probabilities_are_those_of_i_softmax(random: np.random.Generator) -> None:
    """quantize by rows takes floating point the same way: to within 1, the sum to within 1."""
    scores = random.normal(0, 2, (1, 2, 3, 300))
    real = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    ours = quantization.quantize_rows(real).astype(np.int64)
    exact = real / real.max(-1, keepdims=True) * 127
    assert np.abs(ours - exact).max() <= 1
    assert np.abs(np.cumsum(ours - exact, axis=-1)).max() < 0.51
    assert not quantization.quantize_rows(np.zeros((2, 5))).any()


def test_without_tables_a_value_is_taken_as_it_is(random: np.random.Generator) -> None:
    x = random.integers(-(2**12), 2**12, (2, 8)).astype(np.int32)
    one = {"multiplier": np.array([2**30]), "shift": np.array([30])}
    attributes: dict[str, Any] = dict(quantization.gelu_attributes(1e-3)[0])
    out = {"out_multiplier": np.array([2**30]), "out_shift": np.array([53])}
    bare = reference.gelu({"x": x, **out}, attributes)
    assert np.array_equal(bare, reference.gelu({"x": x, **out, **one}, attributes))
    assert np.ptp(bare) > 5
    norm = {"gamma": np.full(8, 2**20), "beta": np.arange(8)}
    bare = reference.layernorm({"x": x, **norm}, {"epsilon_sum": 2**22, "output_shift": 30})
    with_tables = reference.layernorm(
        {"x": x, **norm, **one}, {"epsilon_sum": 2**22, "output_shift": 30}
    )
    assert np.array_equal(bare, with_tables)
    assert np.ptp(bare) > 20
