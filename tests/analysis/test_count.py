"""Counting: closed forms, brute force over the loops, and sums that equal the long way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstack.analysis.convention import EXACT, SURVEY, Convention, Mask, convention_named
from inferstack.analysis.count import by_kind, by_part, count, count_generation, total
from inferstack.analysis.elements import touched_elements
from inferstack.analysis.footprint import footprint
from inferstack.analysis.roofline import Roof, roofline
from inferstack.core.dtypes import DType
from inferstack.core.errors import UnknownNameError
from inferstack.ir.graph import TensorRole
from inferstack.models.architecture import architecture_of, build, no_weights
from inferstack.models.scenario import Scenario
from inferstack.ops.builder import GraphBuilder
from inferstack.ops.rule import Access, Affine, IterationSpace


def step(context: int) -> Any:
    return build("gpt2", Scenario.decode(context, batch=2))


@given(
    terms=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 6)), min_size=0, max_size=3),
    offset=st.integers(-3, 4),
    size=st.integers(1, 40),
)
def test_touched_elements_equal_a_walk_over_the_loops(
    terms: list[tuple[int, int]], offset: int, size: int
) -> None:
    dims = tuple((f"d{i}", extent) for i, (_, extent) in enumerate(terms))
    index = Affine(tuple((f"d{i}", f) for i, (f, _) in enumerate(terms)), offset=offset)
    space = IterationSpace(dims=dims, accesses=())
    walked = {offset}
    for factor, extent in terms:
        walked = {value + factor * i for value in walked for i in range(extent)}
    inside = {value for value in walked if 0 <= value < size}
    access = Access(slot="x", indices=(index,))
    assert touched_elements(access, space, (size,)) == len(inside)


def test_a_matmul_in_closed_form() -> None:
    builder = GraphBuilder("one")
    builder.tensor("a", (2, 3, 5), DType.FLOAT32, TensorRole.INPUT)
    builder.tensor("b", (5, 7), DType.FLOAT16, TensorRole.WEIGHT)
    builder.tensor("bias", (7,), DType.FLOAT32, TensorRole.WEIGHT)
    out = builder.add("matmul", "out", {"a": "a", "b": "b", "bias": "bias"}, repeats=3)
    graph = builder.build((out,))
    (exact,) = count(graph, EXACT)
    assert exact.flops == 3 * 2 * 6 * 5 * 7
    assert exact.traffic_bytes == 3 * (4 * 30 + 2 * 35 + 4 * 7 + 4 * 42)
    (survey,) = count(graph, SURVEY)
    assert survey.traffic_bytes == 3 * (30 + 35 + 42)
    held = footprint(graph, EXACT)
    assert held.weight_bytes == 3 * (2 * 35 + 4 * 7)
    assert held.peak_activation_bytes == 4 * (30 + 42)
    assert held.cache_bytes == 0


def test_a_model_has_a_weight_as_often_as_the_operator_that_occurs_most() -> None:
    builder = GraphBuilder("one")
    builder.tensor("a", (3, 5), DType.FLOAT32, TensorRole.INPUT)
    for name in ("own", "common", "table"):
        builder.tensor(name, (5, 5), DType.FLOAT32, TensorRole.WEIGHT)
    builder.shared.add("common")
    x = builder.add("matmul", "one", {"a": "a", "b": "own"}, repeats=4)
    x = builder.add("matmul", "two", {"a": x, "b": "common"}, repeats=4)
    x = builder.add("matmul", "three", {"a": x, "b": "own"})
    graph = builder.build((builder.add("matmul", "four", {"a": x, "b": "table"}),))
    copies = graph.copies()
    assert [copies[name] for name in ("own", "common", "table")] == [4, 1, 1]
    assert footprint(graph, EXACT).weight_bytes == 4 * (4 + 1 + 1) * 25


@pytest.mark.parametrize("convention", [EXACT, SURVEY], ids=lambda c: c.name)
@pytest.mark.parametrize("tokens", [1, 2, 7])
def test_generation_equals_the_sum_over_every_step(convention: Convention, tokens: int) -> None:
    summed = count_generation(step, tokens, convention)
    steps = [count(step(context), convention) for context in range(tokens)]
    for index, item in enumerate(summed):
        assert item.flops == sum(each[index].flops for each in steps)
        assert item.traffic_bytes == sum(each[index].traffic_bytes for each in steps)


@pytest.mark.parametrize("convention", [EXACT, SURVEY], ids=lambda c: c.name)
@pytest.mark.parametrize(
    ("model", "scenario"),
    [
        ("bert-base", Scenario.encode(16, batch=2)),
        ("gpt2", Scenario.prefill(16)),
        ("tinyllama-1.1b", Scenario.decode(16)),
        ("resnet50", Scenario.encode(1)),
    ],
)
def test_one_layer_with_repeats_counts_as_all_layers(
    convention: Convention, model: str, scenario: Scenario
) -> None:
    short, whole = build(model, scenario), build(model, scenario, unrolled=True)
    assert total(count(short, convention)) == total(count(whole, convention))
    assert by_kind(count(short, convention)) == by_kind(count(whole, convention))
    assert footprint(short, convention) == footprint(whole, convention)


def test_groups_add_up() -> None:
    counts = count(build("bert-base", Scenario.encode(64)), EXACT)
    for groups in (by_part(counts), by_kind(counts)):
        assert total(groups.values()) == total(counts)


def test_grouped_queries_shrink_the_cache_by_their_ratio() -> None:
    """Llama 3 8B: 2 * 32 layers * 8 heads * 128 * 4 bytes per token, a quarter of 32 heads'."""
    held = footprint(build("llama-3-8b", Scenario.decode(1023)), EXACT)
    assert held.cache_bytes == 1024 * 2 * 32 * 8 * 128 * 4
    full = footprint(build("llama-2-7b", Scenario.decode(1023)), EXACT)
    assert full.cache_bytes == 4 * held.cache_bytes


def test_a_prompt_and_a_step_leave_the_same_cache() -> None:
    prompt = footprint(build("gpt2", Scenario.prefill(64)), EXACT)
    behind = footprint(build("gpt2", Scenario.decode(63)), EXACT)
    assert prompt.cache_bytes == behind.cache_bytes == 64 * 2 * 12 * 768 * 4


def test_the_peak_of_activations_in_closed_form() -> None:
    """BERT-Base at 512: in softmax live ids, mask, x, value, and the scores twice."""
    graph = build("bert-base", Scenario.encode(512))
    ids, hidden, scores = 512 * 8, 512 * 768 * 4, 12 * 512 * 512 * 4
    assert footprint(graph, EXACT).peak_activation_bytes == ids + 2 * hidden + 2 * scores


def test_a_roofline_says_what_binds() -> None:
    counts = count(build("bert-base", Scenario.encode(128)), SURVEY)
    roof = Roof(name="machine", peak_flops_per_s=1e12, bandwidth_bytes_per_s=1e10)
    drawn = roofline(by_part(counts), roof)
    assert roof.ridge_flops_per_byte == 100
    points = {point.name: point for point in drawn.points}
    assert points["feed-forward"].attainable_flops_per_s == 1e12
    assert not points["feed-forward"].is_memory_bound
    other = points["other"]
    assert other.attainable_flops_per_s == pytest.approx(other.intensity * 1e10)
    assert other.is_memory_bound


def test_an_unknown_convention_gives_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'survey'"):
        convention_named("surveys")


@pytest.mark.parametrize("name", ["gpt2", "tinyllama-1.1b"])
@pytest.mark.parametrize("tokens", [1, 2, 17, 128])
def test_a_causal_prompt_asks_for_what_its_generation_asks_for(name: str, tokens: int) -> None:
    """Each pair of query and key once: n (n + 1) / 2 of the n^2 of the rectangle."""

    def attention(counts: Any) -> dict[str, int]:
        kinds = ("attention_scores", "softmax", "attention_context")
        return {item.name: item.flops for item in counts if item.kind in kinds}

    generated = count_generation(lambda c: build(name, Scenario.decode(c)), tokens, EXACT)
    prompt = build(name, Scenario.prefill(tokens))
    causal = attention(count(prompt, EXACT))
    full = attention(count(prompt, Convention(mask=Mask.FULL)))
    assert causal == attention(generated)
    assert len(causal) == 3
    assert {n: f * (tokens + 1) // (2 * tokens) for n, f in full.items()} == causal


def windowed(window: int) -> Callable[[Scenario], Any]:
    """Gemma 3 270M, every layer but each sixth with a window of that many tokens."""
    architecture, whole = architecture_of("gemma-3-270m")
    stack = tuple(
        replace(layer, attention=replace(layer.attention, window=layer.attention.window and window))
        for layer in whole.layers
    )
    config = replace(whole, layers=stack)
    return lambda scenario: architecture.build("g", config, scenario, no_weights, unrolled=False)


@pytest.mark.parametrize("tokens", [1, 4, 5, 6, 23])
def test_a_generation_behind_sliding_windows_is_the_sum_over_every_step(tokens: int) -> None:
    build_windowed = windowed(5)
    steps = [build_windowed(Scenario.decode(context)) for context in range(tokens)]
    counted = [count(graph, EXACT) for graph in steps]
    summed = count_generation(steps.__getitem__, tokens, EXACT)
    for index, item in enumerate(summed):
        assert item.flops == sum(each[index].flops for each in counted)
        assert item.traffic_bytes == sum(each[index].traffic_bytes for each in counted)
    prompt = count(build_windowed(Scenario.prefill(tokens)), EXACT)
    pairs = sum(min(seen, 5) for seen in range(1, tokens + 1))
    for counts in (prompt, summed):
        (scores,) = (item for item in counts if item.name == "layer0.scores")
        assert scores.flops == scores.repeats * pairs * 4 * 256 * 2


@pytest.mark.parametrize("batch", [1, 15, 16, 17, 31])
def test_experts_compute_the_rows_that_there_are(batch: int) -> None:
    """Eight experts a token of 128, each of 2048 x 768; as many are read as there are rows."""
    counts = count(build("qwen3-30b-a3b", Scenario.decode(7, batch=batch)), EXACT)
    (gate,) = (item for item in counts if item.name == "layer0.experts.gate")
    rows = 8 * batch
    assert gate.flops == 48 * 2 * rows * 2048 * 768
    moved = rows * (2048 + 768) + min(rows, 128) * 2048 * 768
    assert gate.traffic_bytes == 48 * 4 * moved
