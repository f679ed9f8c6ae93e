"""The rewritten graphs: what is integer, where (de)quantization stands, how close they are."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.compress.accuracy import accuracy
from inferstack.compress.balance import balanced_scale, predicted_error
from inferstack.compress.calibration import Calibration, Statistics, calibrate
from inferstack.compress.method import method, methods
from inferstack.core.dtypes import DType
from inferstack.core.errors import InputError, UnknownNameError
from inferstack.ir.graph import Graph, TensorRole
from inferstack.ops.builder import GraphBuilder
from inferstack.ops.execute import execute

Feeds = Mapping[str, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def program(tiny: Graph, calibration: Calibration) -> Graph:
    return method("integer-only").apply(tiny, calibration)


@pytest.fixture(scope="module")
def baseline(tiny: Graph, calibration: Calibration) -> Graph:
    return method("int8-float").apply(tiny, calibration)


def test_both_methods_are_found() -> None:
    assert {"integer-only", "int8-float"} <= set(methods())
    with pytest.raises(UnknownNameError, match="did you mean 'integer-only'"):
        method("integer_only")


def test_the_integer_program_has_no_float_before_the_last_dequantize(program: Graph) -> None:
    kinds = [operator.kind for operator in program.operators]
    assert kinds[-2:] == ["dequantize", "mean_pool"]
    for operator in program.operators[:-2]:
        for tensor in (*program.operands(operator).values(), program.result(operator)):
            assert tensor.dtype.is_integer, (operator.name, tensor.name)
        assert not any(type(value) is float for value in operator.attributes.values())


def test_operators_keep_their_names(tiny: Graph, program: Graph, baseline: Graph) -> None:
    names = {operator.name for operator in tiny.operators}
    assert {operator.name for operator in program.operators} == {
        *names,
        "layer1.ffn_norm.dequantized",
    }
    assert names < {operator.name for operator in baseline.operators}


def test_types_of_the_integer_layer(program: Graph) -> None:
    expected = {
        "query": DType.INT8,
        "scores": DType.INT32,
        "softmax": DType.INT8,
        "context": DType.INT8,
        "output": DType.INT32,
        "attention_add": DType.INT32,
        "attention_norm": DType.INT8,
        "intermediate": DType.INT32,
        "gelu": DType.INT8,
        "ffn_output": DType.INT32,
        "ffn_add": DType.INT32,
        "ffn_norm": DType.INT8,
    }
    assert {name: program.tensors[f"layer0.{name}"].dtype for name in expected} == expected


def test_the_residual_is_brought_to_the_accumulator_scale(program: Graph) -> None:
    add = next(
        operator for operator in program.operators if operator.name == "layer0.attention_add"
    )
    assert add.inputs["a"] == "layer0.output"
    assert "a_multiplier" not in add.inputs
    assert "b_multiplier" in add.inputs
    accumulator, total = program.tensors["layer0.output"], program.tensors["layer0.attention_add"]
    assert accumulator.scale is not None
    assert total.scale is not None
    assert np.array_equal(accumulator.scale, total.scale)


def test_the_baseline_quantizes_and_dequantizes_around_every_float_operator(
    baseline: Graph,
) -> None:
    kinds = Counter(operator.kind for operator in baseline.operators)
    # Per layer: x into query, key and value (once), probabilities, norm1 and gelu are quantized.
    assert kinds["quantize"] == 2 * 4
    # Per layer: scores, output, inner and outer come back.
    assert kinds["dequantize"] == 2 * 4
    for name in ("query", "key", "value", "context"):
        assert baseline.tensors[f"layer1.{name}"].dtype is DType.INT8
    for kind in ("softmax", "layernorm", "gelu", "add"):
        for operator in baseline.operators:
            if operator.kind == kind:
                assert baseline.result(operator).dtype is DType.FLOAT32


def test_real_values_follow_from_the_scales(tiny: Graph, program: Graph, feeds: Feeds) -> None:
    """Every integer tensor times its scale is near the float tensor of the same name."""
    truth = execute(tiny, feeds, keep=True)
    integers = execute(program, feeds, keep=True)
    mask = feeds["mask"] != 0
    checked = 0
    for name, expected in truth.items():
        scale = program.tensors[name].scale
        if expected.ndim == 3 and scale is not None:
            real = (integers[name] * scale)[mask]
            rms = float(np.sqrt(((real - expected[mask]) ** 2).mean()))
            assert rms < 0.06 * float(np.sqrt((expected[mask] ** 2).mean())), name
            checked += 1
    assert checked > 20


@pytest.mark.parametrize("name", ["integer-only", "int8-float"])
def test_embeddings_stay_close(
    name: str, tiny: Graph, calibration: Calibration, feeds: Feeds
) -> None:
    result = accuracy(tiny, method(name).apply(tiny, calibration), feeds)
    assert result.mean_cosine > 0.995
    assert result.worst_cosine > 0.98


def test_applying_twice_gives_the_same_bits(
    tiny: Graph, program: Graph, calibration: Calibration
) -> None:
    again = method("integer-only").apply(tiny, calibration)
    assert list(again.tensors) == list(program.tensors)
    for name, tensor in again.tensors.items():
        if tensor.data is not None:
            assert np.array_equal(tensor.data, program.tensors[name].data)  # type: ignore[arg-type]


def small_graph(kind: str, attributes: dict[str, Any] | None = None) -> Graph:
    """matmul, then one operator of `kind`."""
    builder = GraphBuilder("small")
    builder.tensor("ids", (1, 4), DType.INT64, TensorRole.INPUT)
    random = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> str:
        data = random.normal(0, 1, shape).astype(np.float32)
        return builder.tensor(name, shape, DType.FLOAT32, TensorRole.WEIGHT, data)

    x = builder.add("embedding", "word", {"table": weight("table", 9, 8), "ids": "ids"})
    y = builder.add("matmul", "dense", {"a": x, "b": weight("w", 8, 8)})
    builder.add(kind, "last", {"x": y}, attributes)
    return builder.build(("last",))


@pytest.mark.parametrize("name", ["integer-only", "int8-float"])
def test_a_kind_without_integer_form_stays_on_the_host(name: str) -> None:
    graph = small_graph("tanh")
    feeds = {"ids": np.arange(8).reshape(2, 4)}
    compressed = method(name).apply(graph, calibrate(graph, [feeds]))
    assert [one.kind for one in compressed.operators][-2:] == ["dequantize", "tanh"]
    real, found = (execute(one, feeds)[one.outputs[0]] for one in (graph, compressed))
    assert np.abs(real - found).max() < 0.1


def test_relu_gives_int8_of_what_the_array_sums() -> None:
    graph = small_graph("relu")
    feeds = {"ids": np.array([[1, 5, 0, 8]])}
    integers = method("integer-only").apply(graph, calibrate(graph, [feeds]))
    assert integers.tensors["last"].dtype is DType.INT8
    real, found = (execute(one, feeds)[one.outputs[0]] for one in (graph, integers))
    np.testing.assert_allclose(found, real, atol=0.02 * np.abs(real).max())


def test_a_factor_changes_what_an_integer_is_worth_and_costs_nothing() -> None:
    graph = small_graph("scale", {"factor": 2.5})
    feeds = {"ids": np.array([[1, 5, 0, 8]])}
    integers = method("integer-only").apply(graph, calibrate(graph, [feeds]))
    assert "scale" not in {operator.kind for operator in integers.operators}
    real, found = (execute(one, feeds)[one.outputs[0]] for one in (graph, integers))
    np.testing.assert_allclose(found, real, atol=0.02 * np.abs(real).max())


def test_what_the_host_made_comes_back_in_16_bits_for_a_sum_and_in_8_for_a_product() -> None:
    builder = GraphBuilder("crossing")
    builder.tensor("ids", (2, 4), DType.INT64, TensorRole.INPUT)
    random = np.random.default_rng(0)
    table, w, u = (
        builder.tensor(
            one, shape, DType.FLOAT32, TensorRole.WEIGHT,
            random.normal(0, 1, shape).astype(np.float32),
        )
        for one, shape in (("table", (9, 8)), ("w", (8, 8)), ("u", (4, 8)))
    )  # fmt: skip
    x = builder.add("embedding", "word", {"table": table, "ids": "ids"})
    y = builder.add("tanh", "bent", {"x": x})
    total = builder.add("add", "total", {"a": y, "b": x})
    placed = builder.add("add", "placed", {"a": total, "b": u})
    product = builder.add("matmul", "product", {"a": y, "b": w})
    graph = builder.build((placed, product))
    feeds = {"ids": np.arange(8).reshape(2, 4)}
    compressed = method("integer-only").apply(graph, calibrate(graph, [feeds]))
    types = {one.name: compressed.tensors[one.output].dtype for one in compressed.operators}
    assert types["bent.sixteen"] is DType.INT16
    assert types["bent.quantized"] is DType.INT8
    assert types["total"] is types["placed"] is types["product"] is DType.INT32
    real, found = execute(graph, feeds), execute(compressed, feeds)
    for theirs, own in zip(graph.outputs, compressed.outputs, strict=True):
        assert np.abs(real[theirs] - found[own]).max() < 0.02 * np.abs(real[theirs]).max()


def test_a_graph_without_weights_is_refused(tiny: Graph, calibration: Calibration) -> None:
    tensors = {n: dataclasses.replace(t, data=None) for n, t in tiny.tensors.items()}
    bare = dataclasses.replace(tiny, tensors=tensors)
    with pytest.raises(InputError, match=r"needs the values of embedding\.word, which has none"):
        method("integer-only").apply(bare, calibration)


def statistics(absmax: npt.NDArray[np.float64]) -> Statistics:
    return Statistics(
        tensor="x",
        histogram=np.ones(1, dtype=np.int64),
        channel_absmax=absmax,
        channel_square=(absmax / 3) ** 2,
    )


def test_balanced_scale_covers_every_channel_and_beats_both_extremes() -> None:
    random = np.random.default_rng(5)
    absmax = np.exp(random.normal(0, 1, 64))
    readers = [random.normal(0, 1, (64, 48)) * np.exp(random.normal(0, 0.5, (64, 1)))]
    given = statistics(absmax)
    scale = balanced_scale(given, readers, residual=False)
    assert (scale * 127 >= absmax * (1 - 1e-12)).all()
    chosen = predicted_error(scale, given.channel_square, readers, False)
    flat = np.full(64, absmax.max() / 127)
    assert chosen < predicted_error(flat, given.channel_square, readers, False)
    assert chosen <= predicted_error(absmax / 127, given.channel_square, readers, False)


@pytest.mark.parametrize("residual", [False, True])
def test_balanced_scale_is_the_best_of_21_exponents_over_all_readers(residual: bool) -> None:
    """range^e / row^(1 - e), each at least a tenth of the largest range, a thousandth of a row."""
    random = np.random.default_rng(7)
    for _ in range(5):
        absmax = np.exp(random.normal(0, 2, 6))
        weights = [
            random.normal(0, 1, (6, n)) * 10.0 ** random.integers(-4, 2, (6, 1)) for n in (3, 9)
        ]
        given = statistics(absmax)
        reach = [max(value, absmax.max() / 10) for value in absmax]
        row = [max(1e-3, *(abs(w[j]).max() / abs(w).max() for w in weights)) for j in range(6)]
        errors = []
        for step in range(21):
            e = step / 20
            unit = np.array([r**e / w ** (1 - e) for r, w in zip(reach, row, strict=True)])
            unit *= max(np.array(reach) / unit) / 127
            errors.append((predicted_error(unit, given.channel_square, weights, residual), unit))
        best = min(errors, key=lambda pair: pair[0])[1]
        found = balanced_scale(given, weights, residual)
        assert found == pytest.approx(best, rel=1e-9)
        assert balanced_scale(given, [*weights, 0 * weights[0]], residual) == pytest.approx(found)


def test_a_tensor_that_nobody_multiplies_keeps_its_ranges() -> None:
    absmax = np.array([1.0, 0.5, 0.01])
    found = balanced_scale(statistics(absmax), [], residual=True)
    assert found == pytest.approx(np.array([1.0, 0.5, 0.1]) / 127)
    assert balanced_scale(statistics(absmax * 0), [], True) == pytest.approx(np.full(3, 0.1) / 127)


def test_predicted_error_is_the_error_of_rounding_both_sides() -> None:
    random = np.random.default_rng(6)
    x = random.uniform(-1, 1, (20_000, 24)) * np.linspace(0.2, 2, 24)
    weight = random.normal(0, 1, (24, 16))
    scale = np.linspace(0.2, 2, 24) / 127
    folded = weight * scale[:, None]
    step = np.abs(folded).max(axis=0) / 127
    result = np.rint(x / scale) @ (np.rint(folded / step) * step)
    truth = x @ weight
    measured = float(((result - truth) ** 2).sum() / (truth**2).sum())
    predicted = predicted_error(scale, (x**2).mean(axis=0), [weight], False)
    assert predicted == pytest.approx(measured, rel=0.15)


def test_a_residual_counts_as_much_as_a_reader() -> None:
    """Of a channel of mean square 4 in units of 1, a twelfth; of one far under its unit, itself."""
    scale, square = np.array([1.0, 1.0, 10.0]), np.array([4.0, 4.0, 0.5])
    weight = np.array([[1.0], [2.0], [3.0]])
    noise = (1 / 12 + 1 / 12 + 0.5) / 8.5
    alone = predicted_error(scale, square, [weight], False)
    assert predicted_error(scale, square, [weight], True) == pytest.approx(alone + noise)
    assert predicted_error(scale, square, [], True) == pytest.approx(noise)
    signal = 4 + 16 + 4.5
    activation = (1 / 12 + 4 / 12 + 0.5 * 9) / signal
    weights = (4 + 4 + 0.005) * (30 / 127) ** 2 / 12 / signal
    assert alone == pytest.approx(activation + weights)
    assert predicted_error(scale, 0 * square, [weight], True) == 0


@pytest.mark.parametrize("name", ["integer-only", "int8-float"])
def test_a_weight_that_two_matmuls_share_serves_both(name: str) -> None:
    builder = GraphBuilder("shared")
    builder.tensor("ids", (1, 4), DType.INT64, TensorRole.INPUT)
    random = np.random.default_rng(1)

    def weight(name: str, *shape: int, spread: float = 1.0) -> str:
        data = random.normal(0, spread, shape).astype(np.float32)
        return builder.tensor(name, shape, DType.FLOAT32, TensorRole.WEIGHT, data)

    x = builder.add("embedding", "word", {"table": weight("table", 9, 8), "ids": "ids"})
    x = builder.add("matmul", "first", {"a": x, "b": weight("w", 8, 8, spread=5.0)})
    norm = {"x": x, "gamma": weight("gamma", 8), "beta": weight("beta", 8)}
    x = builder.add("layernorm", "norm", norm, {"epsilon": 1e-5})
    x = builder.add("matmul", "second", {"a": x, "b": "w"})
    x = builder.add("gelu", "active", {"x": x}, {"approximate": "none"})
    builder.add("matmul", "third", {"a": x, "b": "w"})
    graph = builder.build(("third",))
    feeds = {"ids": np.random.default_rng(2).integers(0, 9, (30, 4))}
    compressed = method(name).apply(graph, calibrate(graph, [feeds]))
    copies = [one for one in compressed.tensors if one.partition(":")[0] == "w"]
    assert len(copies) > 1
    assert copies == ["w", *(f"w:{number}" for number in range(2, len(copies) + 1))]
    expected = execute(graph, feeds)["third"]
    result = next(iter(execute(compressed, feeds).values()))
    assert float(np.abs(result - expected).max()) < 0.05 * float(np.abs(expected).max())


def damaged(tiny: Graph, factors: Mapping[str, float]) -> Graph:
    """The encoder with some weights times a factor."""
    tensors = dict(tiny.tensors)
    for name, factor in factors.items():
        data = tensors[name].data
        assert data is not None
        scaled = (data.astype(np.float64) * factor).astype(np.float32)
        tensors[name] = dataclasses.replace(tensors[name], data=scaled)
    return dataclasses.replace(tiny, tensors=tensors)


@pytest.mark.parametrize("name", ["integer-only", "int8-float"])
def test_a_weight_of_zeros_is_a_weight(name: str, tiny: Graph, feeds: Feeds) -> None:
    # As a pruned layer has it: the branch adds its bias, and nothing divides by the largest weight.
    zeros = {f"layer0.{part}.weight": 0.0 for part in ("query", "output", "intermediate")}
    graph = damaged(tiny, zeros)
    compressed = method(name).apply(graph, calibrate(graph, [feeds]))
    assert accuracy(graph, compressed, feeds).mean_cosine > 0.98


def test_weights_beyond_the_integers_are_the_users_to_mend(tiny: Graph, feeds: Feeds) -> None:
    graph = damaged(tiny, {"layer0.query.weight": 1e34})
    with pytest.raises(InputError) as caught:
        method("integer-only").apply(graph, calibrate(graph, [feeds]))
    assert "compress integer-only: operator layer0.softmax" in str(caught.value)
    assert "cannot be rescaled to integers" in str(caught.value)
