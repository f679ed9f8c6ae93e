"""The floating-point references against torch and against closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.core.dtypes import DType
from inferstack.core.errors import InputError
from inferstack.ir.graph import Tensor
from inferstack.ops.registry import rules

Array = npt.NDArray[Any]


def real(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def run(kind: str, inputs: dict[str, Array], **attributes: Any) -> Array:
    return rules()[kind].reference(inputs, attributes)


def flops_per_point(kind: str, *shape: int) -> int:
    x = Tensor(name="x", shape=shape, dtype=DType.FLOAT32)
    rule = rules()[kind]
    space = rule.space(dict.fromkeys(rule.required, x), x, {})
    assert space.points == math.prod(shape)
    return space.flops_per_point


def test_gelu_is_exact_to_float32() -> None:
    x = np.linspace(-12, 12, 100_001, dtype=np.float32)
    exact = np.array([0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x.astype(np.float64)])
    assert np.abs(run("gelu", {"x": x}, approximate="none") - exact).max() < 5e-7
    double = run("gelu", {"x": x.astype(np.float64)}, approximate="none")
    assert double.dtype == np.float64
    assert np.abs(double - exact).max() < 1e-14


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_torchs(approximate: str) -> None:
    torch = pytest.importorskip("torch")
    x = 4 * real(3, 5, 7)
    expected = torch.nn.functional.gelu(torch.tensor(x), approximate=approximate).numpy()
    result = run("gelu", {"x": x}, approximate=approximate)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)


def test_gelu_of_a_view_keeps_its_order() -> None:
    x = real(4, 6)
    np.testing.assert_array_equal(
        run("gelu", {"x": x.T}, approximate="none"), run("gelu", {"x": x}, approximate="none").T
    )


@pytest.mark.parametrize("epsilon", [1e-12, 1e-5, 0.1])
def test_layernorm_is_torchs(epsilon: float) -> None:
    torch = pytest.importorskip("torch")
    x, gamma, beta = 3 * real(2, 5, 16) + 100, real(16), real(16, seed=1)
    expected = torch.nn.functional.layer_norm(
        torch.tensor(x, dtype=torch.float64),
        (16,),
        torch.tensor(gamma, dtype=torch.float64),
        torch.tensor(beta, dtype=torch.float64),
        epsilon,
    ).numpy()
    result = run("layernorm", {"x": x, "gamma": gamma, "beta": beta}, epsilon=epsilon)
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_layernorm_of_a_constant_row_is_beta() -> None:
    x, beta = np.full((1, 8), 7.5, dtype=np.float32), real(8)
    inputs = {"x": x, "gamma": real(8, seed=1), "beta": beta}
    np.testing.assert_array_equal(run("layernorm", inputs, epsilon=1e-12)[0], beta)


def test_softmax_is_torchs_and_sums_to_one() -> None:
    torch = pytest.importorskip("torch")
    x = 10 * real(2, 3, 4, 9)
    result = run("softmax", {"x": x})
    np.testing.assert_allclose(result, torch.tensor(x).softmax(-1).numpy(), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(result.sum(axis=-1), 1, rtol=1e-6)


def test_softmax_survives_large_scores() -> None:
    x = np.array([[[[3e38, -3e38, 3e38]]]], dtype=np.float32)
    np.testing.assert_array_equal(run("softmax", {"x": x})[0, 0, 0], [0.5, 0, 0.5])


def test_softmax_gives_masked_positions_exactly_nothing() -> None:
    x, mask = real(2, 3, 4, 5), np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
    result = run("softmax", {"x": x, "mask": mask})
    assert not result[0][..., [1, 3, 4]].any()
    np.testing.assert_array_equal(
        result[0][..., [0, 2]], run("softmax", {"x": x[:1, :, :, [0, 2]]})[0]
    )
    assert not result[1].any()


def test_a_causal_query_sees_the_cache_and_the_past() -> None:
    x = real(1, 1, 2, 5)
    result = run("softmax", {"x": x}, causal=True)[0, 0]
    assert (result[0] > 0).tolist() == [True, True, True, True, False]
    assert (result[1] > 0).all()
    np.testing.assert_allclose(result[0, :4], run("softmax", {"x": x[:, :, :1, :4]})[0, 0, 0])


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_attention_is_torchs(kv_heads: int) -> None:
    torch = pytest.importorskip("torch")
    query, key, value = real(2, 3, 32), real(2, 6, 8 * kv_heads), real(2, 6, 8 * kv_heads, seed=1)
    heads = {"heads": 4, "kv_heads": kv_heads}
    scores = run("attention_scores", {"query": query, "key": key}, scale=8**-0.5, **heads)
    probabilities = run("softmax", {"x": scores})
    context = run("attention_context", {"probabilities": probabilities, "value": value}, **heads)

    def split(x: Array, count: int) -> Any:
        return torch.tensor(x).reshape(2, -1, count, 8).transpose(1, 2)

    expected = torch.nn.functional.scaled_dot_product_attention(
        split(query, 4), split(key, kv_heads), split(value, kv_heads), enable_gqa=True
    )
    merged = expected.transpose(1, 2).reshape(2, 3, 32).numpy()
    np.testing.assert_allclose(context, merged, rtol=1e-5, atol=1e-6)


def test_matmul_adds_its_bias_and_takes_b_either_way() -> None:
    a, b, bias = real(2, 3, 4), real(4, 5), real(5)
    expected = np.einsum("imk,kn->imn", a, b) + bias
    np.testing.assert_allclose(run("matmul", {"a": a, "b": b, "bias": bias}), expected, rtol=1e-5)
    stored = {"a": a, "b": np.ascontiguousarray(b.T), "bias": bias}
    np.testing.assert_allclose(run("matmul", stored, transpose_b=True), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [(1, 0, 1, 1), (2, 3, 1, 1), (1, 1, 1, 4), (2, 2, 2, 2), (3, 1, 1, 1)],
)
def test_conv2d_is_torchs(stride: int, padding: int, dilation: int, groups: int) -> None:
    torch = pytest.importorskip("torch")
    x, weight, bias = real(2, 4, 11, 9), real(8, 4 // groups, 3, 2), real(8)
    given = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    expected = torch.nn.functional.conv2d(
        torch.tensor(x), torch.tensor(weight), torch.tensor(bias), **given
    ).numpy()
    inputs = {"x": x, "weight": weight, "bias": bias}
    np.testing.assert_allclose(run("conv2d", inputs, **given), expected, rtol=1e-4, atol=1e-5)


def test_batchnorm_and_pools_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    x, statistics = real(2, 4, 7, 6), [real(4, seed=seed) for seed in range(4)]
    gamma, beta, mean, variance = (*statistics[:3], np.abs(statistics[3]) + 0.1)
    expected = torch.nn.functional.batch_norm(
        *(torch.tensor(v) for v in (x, mean, variance, gamma, beta)), eps=1e-5
    ).numpy()
    inputs = {"x": x, "gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    np.testing.assert_allclose(run("batchnorm", inputs, epsilon=1e-5), expected, atol=1e-5)
    for kernel, stride, padding in ((3, 2, 1), (2, 2, 0)):
        result = run("max_pool", {"x": x}, kernel=kernel, stride=stride, padding=padding)
        pooled = torch.nn.functional.max_pool2d(torch.tensor(x), kernel, stride, padding)
        np.testing.assert_array_equal(result, pooled.numpy())
    mean_of_all = torch.tensor(x).mean(dim=(2, 3)).numpy()
    np.testing.assert_allclose(run("global_average_pool", {"x": x}), mean_of_all, atol=1e-6)
    np.testing.assert_array_equal(run("relu", {"x": x}), torch.tensor(x).relu().numpy())


def test_mean_pool_leaves_padding_out() -> None:
    x, mask = real(3, 4, 6), np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    result = run("mean_pool", {"x": x, "mask": mask})
    np.testing.assert_allclose(result[0], x[0, :2].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(result[1], x[1].mean(axis=0), rtol=1e-6)
    assert not result[2].any()
    unit = run("mean_pool", {"x": x, "mask": mask}, normalize=True)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), [1, 1, 0], rtol=1e-6)


def test_positions_count_as_bert_or_as_roberta_does() -> None:
    table = np.arange(9, dtype=np.float32)[:, None]
    ids = np.array([[5, 6, 7, 1, 1], [5, 1, 6, 7, 8]])
    plain = run("position_embedding", {"table": table, "ids": ids})
    assert plain[..., 0].tolist() == [[0, 1, 2, 3, 4]] * 2
    roberta = run("position_embedding", {"table": table, "ids": ids}, padding_id=1)
    assert roberta[..., 0].tolist() == [[2, 3, 4, 1, 1], [2, 1, 3, 4, 5]]


def test_a_cache_grows_behind() -> None:
    cache, x = real(2, 3, 4), real(2, 1, 4)
    result = run("append_cache", {"cache": cache, "x": x})
    np.testing.assert_array_equal(result[:, :3], cache)
    np.testing.assert_array_equal(result[:, 3:], x)


@pytest.mark.parametrize(
    ("kind", "shape", "count"),
    [
        ("softmax", (2, 3, 4, 5), 4),
        ("gelu", (2, 3, 4), 10),
        ("layernorm", (4,), 8),
        ("add", (2, 3, 4), 1),
        ("relu", (2, 3, 4), 1),
        ("batchnorm", (3,), 2),
    ],
)
def test_elementwise_work_is_counted_as_in_the_survey(
    kind: str, shape: tuple[int, ...], count: int
) -> None:
    if kind == "batchnorm":
        x = Tensor(name="x", shape=(2, 3), dtype=DType.FLOAT32)
        channels = Tensor(name="c", shape=(3,), dtype=DType.FLOAT32)
        rule = rules()[kind]
        inputs = {"x": x, **dict.fromkeys(rule.required[1:], channels)}
        assert rule.space(inputs, x, {}).flops_per_point == count
    else:
        assert flops_per_point(kind, *shape) == count


FOUR_HEADS, THREE_HEADS = {"heads": 4, "kv_heads": 4}, {"heads": 3, "kv_heads": 2}
BATCHNORM_ROWS = dict.fromkeys(("x", "gamma", "beta", "mean", "variance"), (3,))
WRONG = [
    ("matmul", {"a": (2, 3), "b": (4, 5)}, {}, "a last axis of 4"),
    ("matmul", {"a": (2, 4), "b": (4, 5), "bias": (4,)}, {}, r"got \(4,\), need \(5,\)"),
    ("matmul", {"a": (2, 4), "b": (1, 4, 5)}, {}, r"b of shape \(k, n\)"),
    ("add", {"a": (4,), "b": (2, 4)}, {}, r"a shape that broadcasts to \(4,\)"),
    ("layernorm", {"x": (2, 4), "gamma": (4,), "beta": (3,)}, {}, r"need \(\(4,\), \(1, 4\)\)"),
    ("softmax", {"x": (2, 4)}, {}, r"need \(batch, heads, tokens, context\)"),
    ("softmax", {"x": (2, 1, 3, 4), "mask": (2, 3)}, {}, r"got \(2, 3\), need \(2, 4\)"),
    ("attention_scores", dict.fromkeys(("query", "key"), (1, 2, 6)), FOUR_HEADS, "one width"),
    ("attention_scores", dict.fromkeys(("query", "key"), (1, 2, 6)), THREE_HEADS, "multiple of 2"),
    ("embedding", {"table": (9, 4, 1), "ids": (2, 3)}, {}, r"a table of shape \(rows, d\)"),
    ("append_cache", {"cache": (2, 3, 4), "x": (2, 1, 5)}, {}, r"\(batch, new, d\)"),
    ("mean_pool", {"x": (2, 3, 4), "mask": (2, 4)}, {}, r"got \(2, 4\), need \(2, 3\)"),
    ("conv2d", {"x": (1, 4, 8, 8), "weight": (6, 3, 3, 3)}, {}, "channels that 1 groups divide"),
    ("conv2d", {"x": (1, 4, 2, 2), "weight": (6, 4, 3, 3)}, {}, "at least one window"),
    ("conv2d", {"x": (1, 4, 8, 8), "weight": (6, 4, 3, 3)}, {"stride": 0}, "a stride"),
    ("max_pool", {"x": (1, 4, 8, 8)}, {"kernel": 2, "stride": 2, "padding": 2}, "padding < kernel"),
    ("global_average_pool", {"x": (1, 4)}, {}, r"\(batch, channels, height, width\)"),
    ("batchnorm", BATCHNORM_ROWS, {}, "channels, ..."),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "shapes", "attributes", "message"), WRONG)
def test_shapes_that_disagree_are_refused(
    kind: str, shapes: dict[str, tuple[int, ...]], attributes: dict[str, Any], message: str
) -> None:
    integer = {"ids", "mask"}
    inputs = {
        slot: Tensor(
            name=slot, shape=shape, dtype=DType.INT64 if slot in integer else DType.FLOAT32
        )
        for slot, shape in shapes.items()
    }
    with pytest.raises(InputError, match=message) as failure:
        rules()[kind].infer(inputs, attributes)
    assert f"{kind} does not apply" in str(failure.value)


def test_a_sequence_longer_than_the_position_table_is_refused() -> None:
    table = Tensor(name="positions", shape=(514, 8), dtype=DType.FLOAT32)
    ids = Tensor(name="ids", shape=(1, 513), dtype=DType.INT64)
    with pytest.raises(InputError, match="got 513, need at most 512 tokens"):
        rules()["position_embedding"].infer({"table": table, "ids": ids}, {"padding_id": 1})


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("sigmoid", {}),
        ("gelu", {"approximate": "quick"}),
        ("swiglu_clamped", {}),
        ("route", {"scoring": "sigmoid", "active": 1}),
    ],
)
def test_a_sigmoid_far_down_is_nothing(kind: str, attributes: dict[str, Any]) -> None:
    """Without the warning that exp(-x) is beyond the type."""
    x = np.array([[[-1e4, -200.0, 3.0]]], dtype=np.float32)
    found = rules()[kind].reference({"x": x, "gate": x}, attributes)
    assert found.dtype == np.float32
    assert np.abs(found[0, 0, :2]).max() == 0
    assert found[0, 0, 2] > 0.9
