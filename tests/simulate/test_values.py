"""Programs against the reference, bit for bit. `simulate_graph` raises where a tensor differs."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inferstack.core.dtypes import DType
from inferstack.core.errors import CheckFailedError, InputError, MappingError
from inferstack.hardware.accelerator import Accelerator
from inferstack.hardware.load import load_accelerator
from inferstack.ir.graph import Graph
from inferstack.mapping.nest import Loop, Mapping, Store
from inferstack.ops import quantization
from inferstack.simulate import isa
from inferstack.simulate.run import lower, simulate_graph
from inferstack.simulate.tables import Tables

from .conftest import Maker, mapping, sized

ORDERS = ["".join(order) for order in itertools.permutations("mnk")]
TILE = {"m": 16, "n": 32, "k": 32}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize(("bias", "requantize"), [(True, True), (False, False)])
def test_matmul_of_odd_sizes(
    make: Maker,
    accelerator: Accelerator,
    order: str,
    transpose: bool,
    bias: bool,
    requantize: bool,
) -> None:
    x = make.input("x", 37, 85)
    make.matmul(x, 85, 53, bias=bias, requantize=requantize, transpose=transpose)
    graph = make.builder.build(("y",))
    run = simulate_graph(graph, {"y": mapping(graph, "y", order, TILE)}, accelerator, make.feeds)
    assert run.checked == 2
    timing = run.operators[0].timing
    assert timing.macs == 37 * 53 * 85
    result = 37 * 53 * (1 if requantize else 4)
    spilled = timing.dram_written_bytes - result
    # Three k tiles: the sums leave twice, unless k is innermost (or the one tile of n stays).
    innermost = order[-1] == "k"
    assert (spilled == 0) == innermost
    if order == "kmn":
        assert spilled == 2 * 37 * 53 * 4


def test_a_table_without_values_is_refused() -> None:
    make = Maker(1)
    make.matmul(make.input("x", 16, 16), 16, 16, requantize=True)
    graph = make.builder.build(("y",))
    (operator,) = graph.operators
    name = operator.inputs["multiplier"]
    bare = replace(graph.tensors[name], data=None)
    graph = replace(graph, tensors={**graph.tensors, name: bare})
    with pytest.raises(InputError, match=f"operator y: the table {name} has no values"):
        Tables(graph).rescale(operator, "")


@pytest.mark.parametrize("seed", range(8))
def test_matmul_of_random_sizes_and_tiles(seed: int, accelerator: Accelerator) -> None:
    make = Maker(seed)
    m, n, k = (int(v) for v in make.random.integers(1, 300, 3))
    tile = {dim: 16 * int(make.random.integers(1, 9)) for dim in "mnk"}
    make.matmul(make.input("x", m, k), k, n, transpose=bool(seed % 2))
    graph = make.builder.build(("y",))
    order = ORDERS[seed % 6]
    roomy = sized(accelerator, 256, 256)
    run = simulate_graph(graph, {"y": mapping(graph, "y", order, tile)}, roomy, make.feeds)
    assert run.operators[0].timing.macs == m * n * k


def test_a_tile_deeper_than_256(make: Maker, accelerator: Accelerator) -> None:
    """Local offsets pass 8 bits."""
    make.matmul(make.input("x", 64, 768), 768, 48)
    graph = make.builder.build(("y",))
    tile = {"m": 64, "n": 48, "k": 368}
    roomy = sized(accelerator, 256, 64)
    assert simulate_graph(graph, {"y": mapping(graph, "y", "mnk", tile)}, roomy, make.feeds).checked


def test_hoisted_stores_and_two_levels_of_loops(make: Maker, accelerator: Accelerator) -> None:
    """A stays while n advances; chunks of 64 rows are walked in tiles of 32."""
    make.matmul(make.input("x", 100, 64), 64, 80)
    graph = make.builder.build(("y",))
    nodes = (
        Loop("m", 64),
        Loop("m", 32),
        Store("a", "scratchpad"),
        Loop("n", 16),
        Store("b", "scratchpad"),
        Store("out", "accumulator"),
        Loop("k", 16),
    )
    schedule = Mapping(operator="y", accelerator="gemmini-ibert", nodes=nodes)
    run = simulate_graph(graph, {"y": schedule}, accelerator, make.feeds)
    tables = 80 * 5 + 7 * 80 * 4  # requantization, and the bias per 16 rows
    assert run.operators[0].timing.dram_read_bytes == 100 * 64 + 4 * 64 * 80 + tables


def _encoder_group(make: Maker, tokens: int, width: int, inner: int) -> Graph:
    """Attention output with add and LayerNorm, then the feed-forward block."""
    x = make.input("x", tokens, width)
    context = make.input("context", tokens, width)
    output = make.matmul(context, width, width, name="output", requantize=False)
    scales = make.table("add", width, 1, 100, "b_")
    added = make.builder.add("add", "add", {"a": output, "b": x, **scales})
    normed = _layernorm(make, "norm", added, width)
    wide = make.matmul(normed, width, inner, name="inner", requantize=False)
    attributes, value_scale = quantization.gelu_attributes(1e-3)
    inputs = {"x": wide, **make.table("gelu", inner, 1e-2, 3e-2)}
    multiplier, shift = quantization.dyadic(value_scale / make.random.uniform(0.05, 0.1, inner))
    inputs["out_multiplier"] = make.constant("gelu.out_multiplier", multiplier)
    inputs["out_shift"] = make.constant("gelu.out_shift", shift)
    active = make.builder.add("gelu", "gelu", inputs, dict(attributes))
    make.matmul(active, inner, width, name="outer")
    return make.builder.build(("outer",))


def _layernorm(make: Maker, name: str, x: str, width: int) -> str:
    gamma, beta, attributes = quantization.layernorm_tables(
        make.random.normal(1, 0.2, width),
        make.random.normal(0, 1, width),
        epsilon=1e-5,
        input_scale=1e-3,
        output_scale=0.05,
    )
    inputs = {"x": x, "gamma": make.constant(f"{name}.gamma", gamma)}
    inputs |= {"beta": make.constant(f"{name}.beta", beta), **make.table(name, width, 0.01, 0.03)}
    return make.builder.add("layernorm", name, inputs, dict(attributes))


@pytest.mark.parametrize("fuse", [False, True])
def test_fused_and_separate_epilogues(make: Maker, accelerator: Accelerator, fuse: bool) -> None:
    graph = _encoder_group(make, 37, 48, 90)
    groups = {"output": ("add", "norm"), "inner": ("gelu",), "outer": ()}
    tile = {"m": 32, "n": 48, "k": 16}
    schedules = {
        name: mapping(graph, name, "mnk", tile, fused if fuse else ())
        for name, fused in groups.items()
    }
    run = simulate_graph(graph, schedules, accelerator, make.feeds)
    assert run.checked == 2 * (3 if fuse else 6)
    elements = {"add": 37 * 48, "layernorm": 37 * 48, "gelu": 37 * 90}
    counted: dict[str, int] = {}
    for operator in run.operators:
        for kind, count in operator.timing.vector_elements.items():
            counted[kind] = counted.get(kind, 0) + count
    assert counted == elements


def test_fused_epilogues_survive_spilled_sums(make: Maker, accelerator: Accelerator) -> None:
    graph = _encoder_group(make, 37, 48, 90)
    tile = {"m": 16, "n": 48, "k": 16}
    schedules = {
        "output": mapping(graph, "output", "kmn", tile, ("add", "norm")),
        "inner": mapping(graph, "inner", "nkm", tile, ("gelu",)),
        "outer": mapping(graph, "outer", "knm", tile),
    }
    assert simulate_graph(graph, schedules, accelerator, make.feeds).checked == 6


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize("per_head", [False, True])
@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_attention(
    make: Maker,
    accelerator: Accelerator,
    heads: int,
    kv_heads: int,
    per_head: bool,
    fuse: bool,
    causal: bool,
) -> None:
    tokens, context, width = 21, 43, 24
    query = make.input("query", tokens, heads * width)
    key, value = (make.input(name, context, kv_heads * width) for name in ("key", "value"))
    make.builder.tensor("mask", (1, context), DType.INT64, _input_role())
    make.feeds["mask"] = (make.random.random((2, context)) < 0.7).astype(np.int64)
    shape = {"heads": heads, "kv_heads": kv_heads}
    scores = make.builder.add("attention_scores", "scores", {"query": query, "key": key}, shape)
    inputs = {"x": scores, "mask": "mask"}
    inputs |= make.table("softmax", heads if per_head else 1, 0.1, 0.3)
    attributes = {**quantization.exponential_attributes(), "causal": causal}
    probabilities = make.builder.add("softmax", "softmax", inputs, attributes)
    inputs = {"probabilities": probabilities, "value": value}
    inputs |= make.table("context", heads * width, 1e-3, 1e-2)
    make.builder.add("attention_context", "context", inputs, shape)
    graph = make.builder.build(("context",))
    schedules = {
        "scores": mapping(
            graph, "scores", "mnk", {"m": 16, "n": 48, "k": 16}, ("softmax",) if fuse else ()
        ),
        "context": mapping(graph, "context", "nkm", {"m": 16, "n": 16, "k": 32}),
    }
    run = simulate_graph(graph, schedules, accelerator, make.feeds)
    assert run.checked == 2 * (2 if fuse else 3)
    macs = sum(operator.timing.macs for operator in run.operators)
    assert macs == 2 * heads * tokens * context * width


def _input_role() -> Any:
    from inferstack.ir.graph import TensorRole

    return TensorRole.INPUT


@pytest.mark.parametrize("tokens", [3, 70])
def test_adds_of_every_type(make: Maker, accelerator: Accelerator, tokens: int) -> None:
    width = 300
    a, b = make.input("a", tokens, width), make.input("b", tokens, width)
    c = make.input("c", tokens, width, dtype=DType.INT32)
    row = make.weight("row", width)
    scales = make.table("first", width, 10, 50, "a_") | make.table("first", 1, 10, 50, "b_")
    first = make.builder.add("add", "first", {"a": a, "b": b, **scales})
    second = make.builder.add("add", "second", {"a": first, "b": c})
    make.builder.add("add", "third", {"a": second, "b": row})
    graph = make.builder.build(("third",))
    assert simulate_graph(graph, {}, accelerator, make.feeds).checked == 6


def test_a_layernorm_of_int8(make: Maker, accelerator: Accelerator) -> None:
    _layernorm(make, "norm", make.input("x", 50, 100), 100)
    graph = make.builder.build(("norm",))
    run = simulate_graph(graph, {}, sized(accelerator, 64, 4), make.feeds)
    assert run.checked == 2


def test_a_machine_without_units_leaves_the_rest_to_its_host(make: Maker) -> None:
    gemmini = load_accelerator("gemmini")
    graph = _encoder_group(make, 37, 48, 90)
    tile = {"m": 32, "n": 48, "k": 16}
    schedules = {name: mapping(graph, name, "mnk", tile) for name in ("output", "inner", "outer")}
    run = simulate_graph(graph, schedules, gemmini, make.feeds)
    where = {operator.operator: operator.where for operator in run.operators}
    assert where == {
        "output": "array",
        "add": "host",
        "norm": "host",
        "inner": "array",
        "gelu": "host",
        "outer": "array",
    }
    by_name = {operator.name: operator for operator in graph.operators}
    gelu = next(operator for operator in run.operators if operator.operator == "gelu")
    expected = gemmini.host.cycles_per_element["gelu"] * 37 * 90
    assert expected <= gelu.cycles < expected + 1
    moved = gelu.timing.dram_read_bytes + gelu.timing.dram_written_bytes
    tables = sum(t.size_bytes for s, t in graph.operands(by_name["gelu"]).items() if s != "x")
    assert moved == 37 * 90 * (4 + 1) + tables
    dram = gemmini.levels[0].read_pj_per_byte
    assert gelu.energy_pj == gelu.cycles * gemmini.host.pj_per_cycle + moved * dram
    schedules["inner"] = mapping(graph, "inner", "mnk", tile, ("gelu",))
    with pytest.raises(MappingError, match="gemmini has no unit for it; got gelu"):
        simulate_graph(graph, schedules, gemmini, make.feeds)


def test_a_difference_is_reported(
    make: Maker, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check names tensor, index and both values."""
    from inferstack.ops.kernels import reference

    make.matmul(make.input("x", 20, 20), 20, 20)
    graph = make.builder.build(("y",))
    true = reference.matmul

    def off_by_one(*arguments: Any) -> Any:
        result = true(*arguments).copy()
        result[0, 3, 7] ^= 1
        return result

    monkeypatch.setattr(reference, "matmul", off_by_one)
    schedules = {"y": mapping(graph, "y", "mnk", TILE)}
    with pytest.raises(CheckFailedError, match=r"tensor y of sentence 0 .* at \(0, 3, 7\)"):
        simulate_graph(graph, schedules, accelerator, make.feeds)
    assert not simulate_graph(graph, schedules, accelerator, make.feeds, check=False).checked


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((Loop("m", 16),), "no operand is stored on the chip"),
        ((Store("out", "accumulator"),), "does not fit the scratchpad"),
        (
            (Loop("k", 16), Loop("n", 16), Loop("batch", 1), Store("out", "accumulator")),
            "a loop over batch or heads is inside",
        ),
    ],
)
def test_mappings_that_cannot_run(
    make: Maker, accelerator: Accelerator, nodes: tuple[Any, ...], message: str
) -> None:
    make.matmul(make.input("x", 64, 2048), 2048, 64)
    graph = make.builder.build(("y",))
    schedule = Mapping(operator="y", accelerator="gemmini-ibert", nodes=nodes)
    with pytest.raises(MappingError, match=message):
        simulate_graph(graph, {"y": schedule}, accelerator)


def test_groups_that_cannot_run(make: Maker, accelerator: Accelerator) -> None:
    graph = _encoder_group(make, 37, 48, 90)
    tile = {"m": 16, "n": 48, "k": 16}
    whole = {name: mapping(graph, name, "mnk", tile) for name in ("output", "inner", "outer")}

    def replaced(name: str, **changed: Any) -> dict[str, Mapping]:
        given = {"order": "mnk", "tile": tile, "fused": (), **changed}
        return {**whole, name: mapping(graph, name, **given)}

    narrow = {"m": 16, "n": 16, "k": 16}
    cases = [
        ({}, "has no mapping"),
        (replaced("output", fused=("nothing",)), "fuses an operator that does not exist"),
        (replaced("output", fused=("add", "norm"), tile=narrow), "needs whole rows"),
        (replaced("inner", fused=("gelu", "norm")), "a command already follows"),
        (replaced("inner", fused=("norm",)), "cannot be computed on the way out"),
        (replaced("inner", fused=("add",)), "the accumulator is not its unscaled operand"),
    ]
    for schedules, message in cases:
        with pytest.raises(MappingError, match=message):
            simulate_graph(graph, schedules, accelerator)


def test_feeds_of_another_shape_are_refused(make: Maker, accelerator: Accelerator) -> None:
    make.matmul(make.input("x", 20, 20), 20, 20)
    graph = make.builder.build(("y",))
    schedules = {"y": mapping(graph, "y", "mnk", TILE)}
    feeds = {"x": np.zeros((1, 21, 20), dtype=np.int8)}
    with pytest.raises(InputError, match="missing or has another shape"):
        simulate_graph(graph, schedules, accelerator, feeds)


def test_the_listing_is_readable(make: Maker, accelerator: Accelerator) -> None:
    make.matmul(make.input("x", 16, 16), 16, 16)
    graph = make.builder.build(("y",))
    program = lower(graph, graph.operators[0], mapping(graph, "y", "mnk", TILE), accelerator)
    lines = isa.disassemble(program).splitlines()
    assert [line.split()[1] for line in lines] == [
        "mvin",
        "mvin",
        "mvin",
        "preload",
        "compute",
        "config",
        "mvout",
        "fence",
    ]
    assert "y.bias+0 stride 0 int32 -> acc[2048]" in lines[0]
    assert "for acc[2048]+=" in lines[3]
    assert "requantize, 80 B" in lines[5]
    assert "acc[2048] -> y+0 stride 16 int8" in lines[6]
