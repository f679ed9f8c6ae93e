"""Pairs of query and key that a window leaves, counted one by one."""

from __future__ import annotations

import pytest

from inferstack.analysis.convention import EXACT, Site
from inferstack.core.dtypes import DType
from inferstack.ir.graph import Graph, TensorRole
from inferstack.ops.builder import GraphBuilder


def attention(queries: int, keys: int, window: int, *, causal: bool, biased: bool) -> Graph:
    made = GraphBuilder("windows")
    query = made.tensor("query", (1, queries, 8), DType.FLOAT32, TensorRole.INPUT)
    key = made.tensor("key", (1, keys, 8), DType.FLOAT32, TensorRole.INPUT)
    numbers = {"heads": 2, "kv_heads": 2}
    given = {"query": query, "key": key}
    x = made.add("attention_scores", "scores", given, {**numbers, "scale": 1.0})
    if biased:
        x = made.add("alibi", "bias", {"x": made.add("softcap", "cap", {"x": x}, {"cap": 5.0})})
    says = {"causal": causal, **({"window": window} if window else {})}
    x = made.add("softmax", "softmax", {"x": x}, says)
    given = {"probabilities": x, "value": key}
    return made.build((made.add("attention_context", "context", given, numbers),))


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("window", [0, 1, 3, 5, 20])
@pytest.mark.parametrize(
    ("queries", "keys", "causal"), [(7, 7, True), (1, 9, True), (3, 9, True), (7, 7, False)]
)
def test_pairs_are_those_that_see_each_other(
    queries: int, keys: int, causal: bool, window: int, biased: bool
) -> None:
    graph = attention(queries, keys, window, causal=causal, biased=biased)
    reach = window or keys + queries
    seen = [
        (q, k)
        for q in range(keys - queries, keys)
        for k in range(keys)
        if abs(q - k) < reach and (k <= q or not causal)
    ]
    for operator in graph.operators:
        site = Site.of(graph, operator)
        if operator.kind in ("attention_scores", "attention_context"):
            assert EXACT.flops(site) == 2 * 8 * len(seen), operator.kind
        if operator.kind in ("softmax", "alibi"):
            assert EXACT.flops(site) == 2 * len(seen) * site.space.flops_per_point
    read = EXACT.elements(site := Site.of(graph, graph.operators[0]), site.space.access("key"))
    assert read == 8 * len({k for _, k in seen})
