"""Shapes that each rule takes and refuses, one axis at a time; its loops, written out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.pinned import Pins

from inferstack.core.dtypes import DType
from inferstack.core.errors import InputError
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.registry import rules
from inferstack.ops.rule import OUTPUT, IterationSpace, spread
from inferstack.ops.windows import sliding

FLOAT, INT8, INT32, INT64 = DType.FLOAT32, DType.INT8, DType.INT32, DType.INT64
Shapes = Mapping[str, tuple[int, ...]]
POOL = {"kernel": 3, "stride": 2, "padding": 1}
CONV = {"stride": 1, "padding": 0, "dilation": 1, "groups": 2}
GROUPED = {"heads": 4, "kv_heads": 2, "scale": 1.0}
NORM = ("gamma", "beta", "mean", "variance")


def tensors(shapes: Shapes, types: Mapping[str, DType]) -> dict[str, Tensor]:
    """Inputs by slot, float32 where not said otherwise."""
    return {
        slot: Tensor(name=slot, shape=shape, dtype=types.get(slot, FLOAT))
        for slot, shape in shapes.items()
    }


Accepted = tuple[str, Shapes, Mapping[str, Any], Mapping[str, DType], tuple[int, ...], DType]
ACCEPTED: list[Accepted] = [
    ("add", {"a": (2, 3), "b": (3,)}, {}, {}, (2, 3), FLOAT),
    ("add", {"a": (2, 3), "b": (2, 1)}, {}, {"a": INT8, "b": INT8}, (2, 3), INT32),
    ("add", {"a": (2, 3), "b": (1, 3)}, {}, {}, (2, 3), FLOAT),
    ("append_cache", {"cache": (2, 3, 4), "x": (2, 2, 4)}, {}, {}, (2, 5, 4), FLOAT),
    ("attention_scores", {"query": (1, 3, 8), "key": (1, 5, 4)}, GROUPED, {}, (1, 4, 3, 5), FLOAT),
    (
        "attention_context",
        {"probabilities": (1, 4, 3, 5), "value": (1, 5, 6)},
        GROUPED,
        {},
        (1, 3, 12),
        FLOAT,
    ),
    ("batchnorm", {"x": (2, 3), **dict.fromkeys(NORM, (3,))}, {}, {}, (2, 3), FLOAT),
    ("conv2d", {"x": (1, 4, 3, 5), "weight": (6, 2, 3, 3)}, CONV, {}, (1, 6, 1, 3), FLOAT),
    (
        "conv2d",
        {"x": (1, 2, 7, 8), "weight": (3, 2, 3, 2), "bias": (3,)},
        {"stride": 3, "padding": 1, "dilation": 2},
        {},
        (1, 3, 2, 3),
        FLOAT,
    ),
    ("dequantize", {"x": (2, 3), "scale": (1,)}, {}, {"x": INT8}, (2, 3), FLOAT),
    ("dequantize", {"x": (2, 3), "scale": (3,)}, {}, {"x": INT32}, (2, 3), FLOAT),
    ("embedding", {"table": (9, 4), "ids": (2, 3)}, {}, {"ids": INT64}, (2, 3, 4), FLOAT),
    ("gelu", {"x": (2, 3)}, {}, {"x": INT32}, (2, 3), INT8),
    ("global_average_pool", {"x": (2, 3, 4, 5)}, {}, {}, (2, 3), FLOAT),
    ("layernorm", {"x": (2, 3), "gamma": (3,), "beta": (3,)}, {}, {"x": INT32}, (2, 3), INT8),
    ("matmul", {"a": (2, 3, 4), "b": (4, 5), "bias": (5,)}, {}, {}, (2, 3, 5), FLOAT),
    ("matmul", {"a": (3, 4), "b": (5, 4)}, {"transpose_b": True}, {"a": INT8}, (3, 5), INT32),
    (
        "matmul",
        {"a": (3, 4), "b": (4, 5), "multiplier": (1,), "shift": (1,)},
        {},
        {"a": INT8},
        (3, 5),
        INT8,
    ),
    ("max_pool", {"x": (2, 3, 1, 6)}, POOL, {}, (2, 3, 1, 3), FLOAT),
    ("max_pool", {"x": (2, 3, 2, 2)}, {**POOL, "kernel": 2, "padding": 0}, {}, (2, 3, 1, 1), FLOAT),
    (
        "max_pool",
        {"x": (1, 1, 1, 1)},
        {"kernel": 1, "stride": 1, "padding": 0},
        {},
        (1,) * 4,
        FLOAT,
    ),
    ("mean_pool", {"x": (2, 3, 4), "mask": (2, 3)}, {}, {"mask": INT64}, (2, 4), FLOAT),
    ("multiply", {"a": (2, 3), "b": (2, 3)}, {}, {}, (2, 3), FLOAT),
    ("multiply", {"a": (2, 3), "b": (1,)}, {}, {}, (2, 3), FLOAT),
    ("multiply", {"a": (2, 3), "b": (2, 3)}, {}, {"a": INT32, "b": INT8}, (2, 3), INT8),
    ("position_embedding", {"table": (5, 4), "ids": (2, 5)}, {}, {"ids": INT64}, (2, 5, 4), FLOAT),
    (
        "position_embedding",
        {"table": (7, 4), "ids": (2, 5)},
        {"padding_id": 1},
        {"ids": INT64},
        (2, 5, 4),
        FLOAT,
    ),
    (
        "position_embedding",
        {"table": (6, 4), "ids": (2, 5)},
        {"padding_id": 0},
        {"ids": INT64},
        (2, 5, 4),
        FLOAT,
    ),
    (
        "position_embedding",
        {"table": (8, 4), "ids": (2, 5)},
        {"first": 3},
        {"ids": INT64},
        (2, 5, 4),
        FLOAT,
    ),
    ("quantize", {"x": (2, 3)}, {"scale": 0.1}, {}, (2, 3), INT8),
    ("quantize", {"x": (2, 3), "scale": (3,)}, {}, {}, (2, 3), INT8),
    ("relu", {"x": (2, 3)}, {}, {}, (2, 3), FLOAT),
    ("relu", {"x": (2, 3)}, {}, {"x": INT32}, (2, 3), INT8),
    ("rmsnorm", {"x": (2, 3), "gamma": (3,)}, {}, {}, (2, 3), FLOAT),
    ("rmsnorm", {"x": (2, 3), "gamma": (3,)}, {}, {"x": INT32}, (2, 3), INT8),
    ("rotary", {"x": (2, 3, 8)}, {"heads": 2}, {}, (2, 3, 8), FLOAT),
    ("rotary", {"x": (2, 3, 8)}, {"heads": 2, "turned": 2, "skipped": 2}, {}, (2, 3, 8), FLOAT),
    ("silu", {"x": (2, 3)}, {}, {}, (2, 3), FLOAT),
    ("silu", {"x": (2, 3)}, {}, {"x": INT32}, (2, 3), INT8),
    ("silu", {"x": (2, 3)}, {"bits": 16}, {"x": INT32}, (2, 3), INT32),
    ("softmax", {"x": (2, 1, 3, 4), "mask": (2, 4)}, {}, {"x": INT32}, (2, 1, 3, 4), INT8),
    ("tanh", {"x": (2, 3)}, {}, {}, (2, 3), FLOAT),
]


@pytest.mark.parametrize(("kind", "shapes", "attributes", "types", "shape", "dtype"), ACCEPTED)
def test_the_shape_of_the_result(
    kind: str,
    shapes: Shapes,
    attributes: Mapping[str, Any],
    types: Mapping[str, DType],
    shape: tuple[int, ...],
    dtype: DType,
) -> None:
    inputs = tensors(shapes, types)
    assert rules()[kind].infer(inputs, attributes) == (shape, dtype)


IMAGES = {"x": (1, 4, 8, 8), "weight": (6, 2, 3, 3)}
SCORED = {"query": (1, 3, 8), "key": (1, 5, 4)}
MIXED = {"probabilities": (1, 4, 3, 5), "value": (1, 5, 6)}
ROUTED = {"x": (2, 3, 8)}
ROUTING = {"scoring": "softmax", "active": 2}
REFUSED: list[tuple[str, Shapes, Mapping[str, Any], Mapping[str, DType]]] = [
    ("route", ROUTED, {**ROUTING, "active": 9}, {}),
    ("route", ROUTED, {**ROUTING, "groups": 0}, {}),
    ("route", ROUTED, {**ROUTING, "groups": 3, "open": 1}, {}),
    ("route", ROUTED, {**ROUTING, "groups": 4, "open": 5}, {}),
    ("route", ROUTED, {**ROUTING, "groups": 4, "open": 0}, {}),
    ("route", ROUTED, {**ROUTING, "active": 5, "groups": 4, "open": 2}, {}),
    ("route", {**ROUTED, "bias": (7,)}, ROUTING, {}),
    ("add", {"a": (3,), "b": (1, 3)}, {}, {}),
    ("add", {"a": (2, 3), "b": (2,)}, {}, {}),
    ("add", {"a": (2, 1), "b": (2, 3)}, {}, {}),
    ("append_cache", {"cache": (2, 3), "x": (2, 3)}, {}, {}),
    ("append_cache", {"cache": (2, 3, 4), "x": (1, 1, 4)}, {}, {}),
    ("append_cache", {"cache": (2, 3, 4), "x": (2, 1, 3)}, {}, {}),
    ("append_cache", {"cache": (2, 3, 4), "x": (2, 1, 4)}, {}, {"x": INT8}),
    ("attention_scores", SCORED, {"heads": 3, "kv_heads": 2}, {}),
    ("attention_scores", {"query": (1, 3, 8), "key": (1, 5, 8)}, GROUPED, {}),
    ("attention_scores", {"query": (1, 3, 6), "key": (1, 5, 3)}, GROUPED, {}),
    ("attention_context", MIXED, {"heads": 4, "kv_heads": 3}, {}),
    ("attention_context", {**MIXED, "probabilities": (1, 2, 3, 5)}, GROUPED, {}),
    ("attention_context", {**MIXED, "probabilities": (1, 4, 3, 4)}, GROUPED, {}),
    ("attention_context", {**MIXED, "value": (1, 5, 5)}, GROUPED, {}),
    ("batchnorm", {"x": (2, 3), **dict.fromkeys(NORM, (3,))}, {}, {"x": INT8}),
    *(
        ("batchnorm", {"x": (2, 3), **dict.fromkeys(NORM, (3,)), slot: (2,)}, {}, {})
        for slot in NORM
    ),
    ("conv2d", {**IMAGES, "x": (4, 8, 8)}, CONV, {}),
    ("conv2d", {**IMAGES, "weight": (6, 2, 3)}, CONV, {}),
    ("conv2d", IMAGES, CONV, {"x": INT8}),
    *(("conv2d", IMAGES, {**CONV, name: 0}, {}) for name in ("stride", "dilation", "groups")),
    ("conv2d", IMAGES, {**CONV, "padding": -1}, {}),
    ("conv2d", {**IMAGES, "weight": (5, 2, 3, 3)}, CONV, {}),
    ("conv2d", {**IMAGES, "weight": (6, 4, 3, 3)}, CONV, {}),
    ("conv2d", {**IMAGES, "bias": (5,)}, CONV, {}),
    ("conv2d", {**IMAGES, "weight": (6, 2, 9, 3)}, CONV, {}),
    ("conv2d", {**IMAGES, "weight": (6, 2, 3, 9)}, CONV, {}),
    ("conv2d", {**IMAGES, "weight": (6, 2, 5, 3)}, {**CONV, "dilation": 2}, {}),
    ("dequantize", {"x": (2, 3), "scale": (1,)}, {}, {}),
    ("dequantize", {"x": (2, 3), "scale": (2,)}, {}, {"x": INT8}),
    ("dequantize", {"x": (2, 3), "scale": (1, 3)}, {}, {"x": INT8}),
    ("embedding", {"table": (9,), "ids": (2, 3)}, {}, {"ids": INT64}),
    ("embedding", {"table": (9, 4), "ids": (2, 3)}, {}, {}),
    ("global_average_pool", {"x": (2, 3, 4)}, {}, {}),
    ("global_average_pool", {"x": (2, 3, 4, 5)}, {}, {"x": INT8}),
    ("layernorm", {"x": (2, 3), "gamma": (2,), "beta": (3,)}, {}, {}),
    ("layernorm", {"x": (2, 3), "gamma": (3,), "beta": (2, 3)}, {}, {}),
    ("matmul", {"a": (3, 4), "b": (5, 4)}, {}, {}),
    ("matmul", {"a": (3, 4), "b": (4, 5)}, {"transpose_b": True}, {}),
    ("matmul", {"a": (3, 4), "b": (4,)}, {}, {}),
    ("matmul", {"a": (3, 4), "b": (4, 5), "bias": (1, 5)}, {}, {}),
    ("max_pool", {"x": (3, 8, 8)}, POOL, {}),
    ("max_pool", {"x": (2, 3, 8, 8)}, POOL, {"x": INT8}),
    ("max_pool", {"x": (2, 3, 8, 8)}, {**POOL, "padding": 3}, {}),
    ("max_pool", {"x": (2, 3, 8, 8)}, {**POOL, "padding": -1}, {}),
    ("max_pool", {"x": (2, 3, 8, 8)}, {**POOL, "stride": 0}, {}),
    ("max_pool", {"x": (2, 3, 8, 8)}, {**POOL, "kernel": 0, "padding": -1}, {}),
    ("max_pool", {"x": (2, 3, 2, 8)}, {**POOL, "padding": 0}, {}),
    ("mean_pool", {"x": (2, 3), "mask": (2, 3)}, {}, {}),
    ("mean_pool", {"x": (2, 3, 4), "mask": (2, 3, 1)}, {}, {}),
    ("mean_pool", {"x": (2, 3, 4), "mask": (2, 3)}, {}, {"x": INT8}),
    ("multiply", {"a": (2, 3), "b": (2,)}, {}, {}),
    ("multiply", {"a": (3,), "b": (1, 3)}, {}, {}),
    ("multiply", {"a": (2, 3), "b": (2, 3)}, {}, {"a": INT8}),
    ("multiply", {"a": (2, 3), "b": (2, 3)}, {"part": "left"}, {"a": INT8, "b": INT8}),
    ("silu", {"x": (2, 3)}, {"bits": 4}, {}),
    ("multiply", {"a": (2, 3), "b": (2, 3)}, {}, {"b": DType.FLOAT16}),
    ("position_embedding", {"table": (5, 4, 1), "ids": (2, 5)}, {}, {}),
    ("position_embedding", {"table": (4, 4), "ids": (2, 5)}, {}, {}),
    ("position_embedding", {"table": (7, 4), "ids": (2, 5)}, {"first": 3}, {}),
    ("position_embedding", {"table": (6, 4), "ids": (2, 5)}, {"padding_id": 1}, {}),
    ("position_embedding", {"table": (5, 4), "ids": (2, 5)}, {"padding_id": 0}, {}),
    ("quantize", {"x": (2, 3)}, {}, {"x": INT8}),
    ("quantize", {"x": (2, 3), "scale": (1,)}, {}, {}),
    ("rmsnorm", {"x": (2, 3), "gamma": (2,)}, {}, {}),
    ("rotary", {"x": (2, 8)}, {"heads": 2}, {}),
    ("rotary", {"x": (2, 3, 8)}, {"heads": 2, "turned": 3}, {}),
    ("rotary", {"x": (2, 3, 8)}, {"heads": 2, "turned": 6}, {}),
    ("rotary", {"x": (2, 3, 8)}, {"heads": 2, "turned": 2, "skipped": 3}, {}),
    ("rotary", {"x": (2, 3, 6)}, {"heads": 2}, {}),
    ("rotary", {"x": (2, 3, 8)}, {"heads": 2}, {"x": INT8}),
    ("softmax", {"x": (1, 3, 4)}, {}, {}),
    ("softmax", {"x": (2, 1, 3, 4), "mask": (1, 4)}, {}, {}),
    ("softmax", {"x": (2, 1, 3, 4), "mask": (2, 3)}, {}, {}),
    ("tanh", {"x": (2, 3)}, {}, {"x": INT8}),
]


@pytest.mark.parametrize(("kind", "shapes", "attributes", "types"), REFUSED)
def test_what_each_rule_refuses(
    kind: str, shapes: Shapes, attributes: Mapping[str, Any], types: Mapping[str, DType]
) -> None:
    with pytest.raises(InputError, match=f"{kind} does not apply"):
        rules()[kind].infer(tensors(shapes, types), attributes)


def test_what_each_rule_says_where_it_refuses(pinned: Pins) -> None:
    said = {}
    for kind, shapes, attributes, types in REFUSED:
        with pytest.raises(InputError) as caught:
            rules()[kind].infer(tensors(shapes, types), attributes)
        case = ", ".join(f"{slot} {types.get(slot, FLOAT).value} {s}" for slot, s in shapes.items())
        said[f"{kind}: {case} {dict(attributes)}"] = str(caught.value)
    assert len(said) == len(REFUSED)
    pinned("refused_operands", said)


def test_near_rows_are_read_behind_those_that_are_left_out() -> None:
    rule, given = rules()["spread_batch"], tensors({"x": (8, 4), "like": (2, 3, 4)}, {})
    shape, dtype = rule.infer(given, {"near": True})
    output = Tensor(name="out", shape=shape, dtype=dtype)
    space = rule.space(given, output, {"near": True})
    assert shape == (2, 6, 4)
    assert [index.offset for index in space.access("x").indices] == [1, 0]


COUNTED = {
    "add": (Work.RESIDUAL_ADD, 1),
    "append_cache": (Work.OTHER, 0),
    "batchnorm": (Work.NORM, 2),
    "dequantize": (Work.QUANTIZATION, 1),
    "embedding": (Work.OTHER, 0),
    "gelu": (Work.ACTIVATION, 10),
    "global_average_pool": (Work.OTHER, 1),
    "layernorm": (Work.NORM, 8),
    "max_pool": (Work.OTHER, 1),
    "mean_pool": (Work.OTHER, 1),
    "multiply": (Work.ACTIVATION, 1),
    "position_embedding": (Work.OTHER, 0),
    "quantize": (Work.QUANTIZATION, 2),
    "relu": (Work.ACTIVATION, 1),
    "rmsnorm": (Work.NORM, 4),
    "rotary": (Work.OTHER, 3),
    "silu": (Work.ACTIVATION, 4),
    "softmax": (Work.SOFTMAX, 4),
    "tanh": (Work.ACTIVATION, 1),
}
PRODUCTS = {"attention_context", "attention_scores", "conv2d", "matmul"}


def loops(case: Accepted) -> IterationSpace:
    """The loops of an accepted example."""
    kind, shapes, attributes, types, shape, dtype = case
    output = Tensor(name=OUTPUT, shape=shape, dtype=dtype)
    return rules()[kind].space(tensors(shapes, types), output, attributes)


@pytest.mark.parametrize("case", ACCEPTED, ids=[case[0] for case in ACCEPTED])
def test_what_a_point_of_each_operator_counts(case: Accepted) -> None:
    kind, space = case[0], loops(case)
    if kind in PRODUCTS:
        assert rules()[kind].work is Work.MATMUL
        assert (space.macs_per_point, space.flops_per_point) == (1, 0)
    else:
        assert (rules()[kind].work, space.flops_per_point) == COUNTED[kind]
        assert space.macs_per_point == 0
    assert set(COUNTED) | PRODUCTS <= set(rules())


def test_loops_of_windows_and_of_caches_have_their_offsets() -> None:
    (conv,) = (case for case in ACCEPTED if case[0] == "conv2d" and "bias" in case[1])
    rows, columns = loops(conv).access("x").indices[2:]
    assert rows == sliding("p", "r", 3, 2, 1, 7)
    assert columns == sliding("q", "s", 3, 2, 1, 8)
    assert (rows.offset, rows.size, rows.terms) == (-1, 7, (("p", 3), ("r", 2)))
    assert sliding("p", "r", 3, 2, 0, 7).size is None
    (pool,) = (case for case in ACCEPTED if case[0] == "max_pool" and case[1]["x"][2:] == (1, 6))
    rows, columns = loops(pool).access("x").indices[2:]
    assert rows == sliding("p", "r", 2, 1, 1, 1)
    assert columns == sliding("q", "s", 2, 1, 1, 6)
    assert loops(pool).extents["r"] == loops(pool).extents["s"] == 3
    (cache,) = (case for case in ACCEPTED if case[0] == "append_cache")
    assert loops(cache).access(OUTPUT).indices[1].offset == 3
    positions = [case for case in ACCEPTED if case[0] == "position_embedding"]
    assert [loops(case).access("table").indices[0].offset for case in positions] == [0, 2, 1, 3]
    only = [a.slot for a in loops(cache).accesses]
    assert only == ["x", OUTPUT]


def test_a_context_of_integers_is_divided_by_its_rows() -> None:
    (case,) = (case for case in ACCEPTED if case[0] == "attention_context")
    kind, shapes, attributes, _, shape, dtype = case
    assert not loops(case).divides_rows
    integers = dict.fromkeys(shapes, INT8)
    assert loops((kind, shapes, attributes, integers, shape, dtype)).divides_rows
    assert rules()[kind].infer(tensors(shapes, integers), attributes)[1] is INT32
    tables = {**shapes, "multiplier": (1,), "shift": (1,)}
    assert rules()[kind].infer(tensors(tables, integers), attributes)[1] is INT8


def test_the_pairs_of_a_causal_mask() -> None:
    pairs = {kind: rule.pairs for kind, rule in rules().items() if rule.pairs is not None}
    assert pairs == {
        "attention_scores": ("m", "n"),
        "attention_context": ("m", "k"),
        "softmax": ("d2", "d3"),
        "alibi": ("d2", "d3"),
        "distance_scores": ("d2", "d3"),
        "position_bias": ("d2", "d3"),
    }


def test_an_operand_that_broadcasts_reads_the_same_again() -> None:
    names = ("d0", "d1", "d2")
    whole = spread("b", names, (2, 1, 4), (2, 3, 4))
    assert [index.terms for index in whole.indices] == [(("d0", 1),), (), (("d2", 1),)]
    last = spread("b", names, (4,), (2, 3, 4))
    assert [index.terms for index in last.indices] == [(("d2", 1),)]


def test_a_kind_without_integers_says_so() -> None:
    with pytest.raises(InputError, match="tanh: this operator has no integer form"):
        rules()["tanh"].integer_reference({}, {})


@pytest.mark.parametrize("kind", ["matmul", "quantize", "dequantize"])
def test_the_integer_form_is_for_integers_on_both_ends(kind: str) -> None:
    rule = rules()[kind]
    for first in (FLOAT, INT8):
        for out in (FLOAT, INT8):
            x = Tensor(name="x", shape=(1,), dtype=first)
            other = Tensor(name="o", shape=(1,), dtype=FLOAT)
            inputs = {**dict.fromkeys(rule.required, other), rule.required[0]: x}
            made = rule.is_integer(inputs, Tensor(name="y", shape=(1,), dtype=out))
            assert made is (first is INT8 and out is INT8)
