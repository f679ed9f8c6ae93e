"""Units of a decoder, alone and on a matmul's way out; `simulate_graph` compares every bit."""

from __future__ import annotations

import numpy as np
import pytest

from inferstack.hardware.load import load_accelerator
from inferstack.ops import quantization
from inferstack.ops.rotary import cosine_sine
from inferstack.simulate.run import simulate_graph

from .conftest import Maker, mapping

DECODER = load_accelerator("gemmini-decoder")
TOKENS, WIDTH, INNER = 37, 48, 90
TILE = {"m": 16, "n": 96, "k": 16}


def _simulated(make: Maker, output: str, matmul: str, fused: tuple[str, ...]) -> dict[str, int]:
    """Elements by kind that the units computed."""
    graph = make.builder.build((output,))
    schedules = {matmul: mapping(graph, matmul, "mnk", TILE, fused)}
    run = simulate_graph(graph, schedules, DECODER, make.feeds)
    assert run.checked == 2 * (1 if fused else len(graph.operators))
    counted: dict[str, int] = {}
    for operator in run.operators:
        for kind, count in operator.timing.vector_elements.items():
            counted[kind] = counted.get(kind, 0) + count
    return counted


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("part", ["whole", "high", "low"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_gate_multiplies_sums(make: Maker, fuse: bool, part: str, bits: int) -> None:
    gate = make.input("gate", TOKENS, INNER)
    if bits == 16:
        gate = make.builder.add("add", "wide", {"a": gate, "b": gate})
    up = make.matmul(make.input("x", TOKENS, WIDTH), WIDTH, INNER, name="up", requantize=False)
    inputs = {"a": gate, "b": up, **make.table("gated", INNER, 1e-2, 3e-2, "b_")}
    inputs |= make.table("gated", 1, 1e-4, 1e-3, "out_")
    made = make.builder.add("multiply", "gated", inputs, {"part": part})
    graph = make.builder.build((made,))
    schedules = {"up": mapping(graph, "up", "mnk", TILE, ("gated",) if fuse else ())}
    run = simulate_graph(graph, schedules, DECODER, make.feeds)
    assert run.checked == 2 * (len(graph.operators) - fuse)
    elements = [operator.timing.vector_elements.get("multiply", 0) for operator in run.operators]
    assert sum(elements) == TOKENS * INNER


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("bits", [8, 16])
def test_silu(make: Maker, fuse: bool, bits: int) -> None:
    y = make.matmul(make.input("x", TOKENS, WIDTH), WIDTH, INNER, requantize=False)
    inputs = {"x": y, **make.table("silu", INNER, 1e-2, 1e-1)}
    inputs |= make.table("silu", INNER, 1e-3, 1e-2, "out_")
    attributes = {**quantization.exponential_attributes(), "bits": bits}
    made = make.builder.add("silu", "silu", inputs, attributes)
    counted = _simulated(make, made, "y", ("silu",) if fuse else ())
    assert counted == {"silu": TOKENS * INNER}


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize(("skipped", "turned", "interleaved"), [(0, 16, False), (4, 8, True)])
def test_rotary(make: Maker, fuse: bool, skipped: int, turned: int, interleaved: bool) -> None:
    y = make.matmul(make.input("x", TOKENS, WIDTH), WIDTH, WIDTH, requantize=False)
    attributes = {"heads": 3, "theta": 100.0, "turned": turned, "skipped": skipped}
    attributes |= {"interleaved": interleaved}
    inputs = {"x": y, **make.table("turn", WIDTH, 1e-2, 1e-1)}
    inputs |= make.table("turn", 1, 1e-7, 1e-6, "out_")
    for slot, values in zip(
        ("cosine", "sine"), cosine_sine(0, TOKENS, 16, attributes), strict=True
    ):
        inputs[slot] = make.constant(slot, np.rint(values[:, 0] * 2**14).astype(np.int32))
    made = make.builder.add("rotary", "turned", inputs, attributes)
    counted = _simulated(make, made, "y", ("turned",) if fuse else ())
    assert counted == {"rotary": TOKENS * WIDTH}


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("width", [WIDTH, 16])
def test_rmsnorm_of_rows_and_of_heads(make: Maker, fuse: bool, width: int) -> None:
    y = make.matmul(make.input("x", TOKENS, WIDTH), WIDTH, WIDTH, requantize=False)
    gamma, _, attributes = quantization.layernorm_tables(
        make.random.normal(1, 0.2, width), np.zeros(width), epsilon=1e-5, input_scale=1e-3,
        output_scale=0.03,
    )  # fmt: skip
    inputs = {"x": y, "gamma": make.constant("gamma", gamma), **make.table("n", WIDTH, 0.01, 0.03)}
    made = make.builder.add("rmsnorm", "norm", inputs, {"width": width, **attributes})
    counted = _simulated(make, made, "y", ("norm",) if fuse else ())
    assert counted == {"rmsnorm": TOKENS * WIDTH}
