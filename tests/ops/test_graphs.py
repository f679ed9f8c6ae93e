"""Indices counted one by one; small graphs that run, change their length, or break a rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inferstack.core.dtypes import DType
from inferstack.core.errors import InputError, UnknownNameError
from inferstack.ir.graph import Graph, Operator, Tensor, TensorRole
from inferstack.ops.builder import GraphBuilder
from inferstack.ops.distinct import distinct, distinct_inside
from inferstack.ops.execute import execute
from inferstack.ops.registry import rule_for
from inferstack.ops.retoken import with_tokens
from inferstack.ops.verify import verify

FLOAT, INT8 = DType.FLOAT32, DType.INT8


def values_of(terms: tuple[tuple[int, int], ...], offset: int = 0) -> set[int]:
    """Every value, one by one."""
    found = {offset}
    for coefficient, extent in terms:
        found = {value + coefficient * x for value in found for x in range(extent)}
    return found


TERMS = [
    (),
    ((3, 1),),
    ((0, 5), (2, 3)),
    ((1, 0), (2, 3)),
    ((2, 4), (1, 2)),
    ((2, 4), (1, 3)),
    ((3, 4), (1, 2)),
    ((4, 3), (1, 3)),
    ((4, 3), (1, 4)),
    ((5, 3), (1, 4)),
    ((5, 3), (2, 3)),
    ((6, 3), (2, 3), (1, 2)),
    ((6, 3), (4, 3)),
    ((-2, 3), (1, 2)),
    ((-3, 3), (2, 4)),
    ((7, 2), (3, 3)),
    ((7, 2), (3, 4)),
    ((6, 2), (3, 3)),
]


@pytest.mark.parametrize("terms", TERMS)
def test_distinct_values_are_those_that_are_there(terms: tuple[tuple[int, int], ...]) -> None:
    there = values_of(terms)
    assert distinct(terms) == len(there)
    for offset in range(-6, 7):
        for size in range(1, 9):
            inside = {offset + value for value in there if 0 <= offset + value < size}
            assert distinct_inside(terms, offset, size) == len(inside)


def small_graph(tokens: int = 3) -> GraphBuilder:
    """y = x + (x times a table), with the sum wanted."""
    made = GraphBuilder("small")
    made.tensor("x", (1, tokens), FLOAT, TensorRole.INPUT)
    made.tensor("w", (1,), FLOAT, TensorRole.WEIGHT, np.array([2.0], dtype=np.float32))
    made.add("add", "first", {"a": "x", "b": "w"}, part="p", repeats=1)
    made.add("add", "second", {"a": "first", "b": "x"})
    return made


def test_execution_keeps_what_is_asked_and_tells_an_observer() -> None:
    graph = small_graph().build(("second",))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    seen: list[tuple[str, float]] = []

    def observe(operator: Operator, result: Any) -> None:
        seen.append((operator.name, float(result.sum())))

    out = execute(graph, {"x": x}, observe=observe)
    assert list(out) == ["second"]
    assert np.array_equal(out["second"], 2 * x + 2)
    assert seen == [("first", 15 + 12), ("second", 30 + 12)]
    kept = execute(graph, {"x": x}, keep=True)
    assert list(kept) == ["first", "second"]
    both = execute(small_graph().build(("first", "second")), {"x": x})
    assert list(both) == ["first", "second"]


def test_what_cannot_run_says_why() -> None:
    graph = small_graph().build(("second",))
    with pytest.raises(InputError, match=r"input x is missing .*; need \(1, 3\)"):
        execute(graph, {})
    with pytest.raises(InputError, match=r"got \(1, 4\), need \(1, 3\)"):
        execute(graph, {"x": np.zeros((1, 4), dtype=np.float32)})
    bare = GraphBuilder("bare")
    bare.tensor("x", (1, 3), FLOAT, TensorRole.INPUT)
    bare.tensor("w", (1,), FLOAT, TensorRole.WEIGHT)
    bare.add("add", "y", {"a": "x", "b": "w"}, repeats=2)
    x = {"x": np.zeros((1, 3), dtype=np.float32)}
    with pytest.raises(InputError, match="one layer stands for several"):
        execute(bare.build(("y",)), x)
    bare.repeats.clear()
    with pytest.raises(InputError, match="tensor w has no values"):
        execute(bare.build(("y",)), x)


def test_a_graph_for_another_length_is_the_same_graph() -> None:
    made = small_graph()
    made.add("add", "third", {"a": "second", "b": "w"}, {"note": 1}, part="end", repeats=3)
    graph = made.build(("third",))
    assert with_tokens(graph, 3) is graph
    longer = with_tokens(graph, 5)
    assert longer.tensors["x"].shape == longer.tensors["third"].shape == (1, 5)
    assert (longer.inputs, longer.outputs, longer.repeats) == (("x",), ("third",), {"third": 3})
    assert longer.tensors["w"] is graph.tensors["w"]
    assert [(o.part, dict(o.attributes)) for o in longer.operators] == [
        ("p", {}),
        ("other", {}),
        ("end", {"note": 1}),
    ]
    wide = GraphBuilder("wide")
    wide.tensor("x", (1, 3, 2), FLOAT, TensorRole.INPUT)
    with pytest.raises(InputError, match="no common token axis"):
        with_tokens(wide.build(()), 4)
    two = small_graph()
    two.tensor("other", (1, 4), FLOAT, TensorRole.INPUT)
    with pytest.raises(InputError, match="no common token axis"):
        with_tokens(two.build(()), 4)


def changed(**fields: Any) -> Graph:
    """The small graph with other fields."""
    graph = small_graph().build(("second",))
    given = {
        name: getattr(graph, name)
        for name in ("name", "tensors", "operators", "inputs", "outputs", "repeats")
    }
    return Graph(**{**given, **fields})


def test_a_graph_that_breaks_a_rule_is_named() -> None:
    graph = small_graph().build(("second",))
    first, second = graph.operators
    x, w = graph.tensors["x"], graph.tensors["w"]
    verify(graph)

    def told(match: str, **fields: Any) -> None:
        with pytest.raises(InputError, match=match):
            verify(changed(**fields))

    odd = Tensor(name="w", shape=(2,), dtype=FLOAT, role=w.role, data=w.data)
    told(r"tensor w holds data of another shape; got \(1,\)", tensors={**graph.tensors, "w": odd})
    told("operator second reads first before it is written", operators=(second, first))
    told("operator first writes first again", operators=(first, first, second))
    lost = Operator(
        name="l", kind="add", inputs=first.inputs, output="lost", attributes={}, part=""
    )
    told("operator l writes lost again", operators=(first, second, lost))
    bare = Operator(name="l", kind="add", inputs={"a": "x"}, output="first", attributes={}, part="")
    told(r"operator l has the wrong inputs; got \['a'\]", operators=(bare, second))
    more = {**first.inputs, "c": "x"}
    over = Operator(name="l", kind="add", inputs=more, output="first", attributes={}, part="")
    told("operator l has the wrong inputs", operators=(over, second))
    short = Tensor(name="first", shape=(1, 2), dtype=FLOAT)
    told("operator first has another output", tensors={**graph.tensors, "first": short})
    narrow = Tensor(name="first", shape=x.shape, dtype=INT8)
    told("operator first has another output", tensors={**graph.tensors, "first": narrow})
    told("output third is never written", outputs=("second", "third"))
    told("output second is never written", operators=(first,))
    with pytest.raises(UnknownNameError, match="operator l: unknown operator kind; got 'ad'"):
        rule_for(Operator(name="l", kind="ad", inputs={}, output="o", attributes={}, part=""))


def test_a_builder_refuses_wrong_slots() -> None:
    made = small_graph()
    for inputs in ({"a": "x"}, {"a": "x", "b": "w", "c": "w"}):
        with pytest.raises(InputError, match="add does not apply"):
            made.add("add", "bad", inputs)
    made.add("add", "scaled", {"a": "x", "b": "w"}, scale=np.array([0.5]))
    assert made.tensors["scaled"].scale == np.array([0.5])
    assert made.repeats == {}
