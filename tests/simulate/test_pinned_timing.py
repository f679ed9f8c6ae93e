"""When every instruction of some programs starts and ends, pinned, beside what the machine counts.

`test_timing.py` works small programs out by hand; these are whole ones, on machines whose queues,
bus and units differ.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.pinned import Pins

from inferstack.core.dtypes import DType
from inferstack.hardware.accelerator import Accelerator
from inferstack.ir.graph import Graph, TensorRole
from inferstack.mapping.nest import Mapping
from inferstack.ops import quantization
from inferstack.simulate import machine
from inferstack.simulate.run import lower

from .conftest import Maker, mapping, sized

ORDERS = ("mnk", "mkn", "nmk", "nkm", "kmn", "knm")


def other(accelerator: Accelerator, chance: random.Random) -> Accelerator:
    """The machine with other queues, bus, passes and buffers."""
    made = sized(accelerator, chance.choice((16, 64)), chance.choice((32, 64)))
    dma = replace(
        made.dma,
        bus_bytes=chance.choice((4, 8, 16)),
        requests_in_flight=chance.choice((1, 3, 16)),
        read_latency_cycles=chance.choice((5, 60)),
        write_latency_cycles=chance.choice((2, 20)),
        load_queue=chance.choice((1, 2, 8)),
        execute_queue=chance.choice((2, 16)),
        store_queue=chance.choice((1, 2, 8)),
    )
    array = replace(made.array, pass_cycles=chance.choice((5, 16, 20)), fill_cycles=7)
    levels = tuple(
        replace(one, double_buffered=chance.random() < 0.6) if one.capacity_bytes else one
        for one in made.levels
    )
    assert made.vector_unit is not None
    unit = replace(made.vector_unit, lanes=chance.choice((4, 16)))
    return replace(made, dma=dma, array=array, levels=levels, vector_unit=unit)


def layernorm(make: Maker, x: str, width: int) -> str:
    """A LayerNorm of int32 or int8."""
    gamma, beta, attributes = quantization.layernorm_tables(
        make.random.normal(1, 0.2, width),
        make.random.normal(0, 1, width),
        epsilon=1e-5,
        input_scale=1e-3,
        output_scale=0.05,
    )
    inputs = {"x": x, "gamma": make.constant("gamma", gamma), "beta": make.constant("beta", beta)}
    return make.builder.add("layernorm", "norm", inputs, dict(attributes))


def gelu(make: Maker, x: str, width: int) -> str:
    """A GELU with a table a channel."""
    attributes, value_scale = quantization.gelu_attributes(1e-3)
    inputs = {"x": x, **make.table("gelu", width, 1e-2, 3e-2)}
    multiplier, shift = quantization.dyadic(value_scale / make.random.uniform(0.05, 0.1, width))
    inputs["out_multiplier"] = make.constant("gelu.out_multiplier", multiplier)
    inputs["out_shift"] = make.constant("gelu.out_shift", shift)
    return make.builder.add("gelu", "gelu", inputs, dict(attributes))


def feed_forward(make: Maker, chance: random.Random) -> tuple[Graph, dict[str, Mapping]]:
    """A matmul with a sum and LayerNorm, or with GELU, behind it, fused or not."""
    m, n, k = chance.choice((5, 37, 50)), chance.choice((16, 40)), chance.choice((16, 52, 80))
    fuse, norm = chance.random() < 0.6, chance.random() < 0.5
    x = make.input("x", m, k)
    y = make.matmul(
        x, k, n, requantize=False, bias=chance.random() < 0.7, transpose=chance.random() < 0.5
    )
    if norm:
        residual = make.input("residual", m, n)
        scales = make.table("add", chance.choice((1, n)), 1, 100, "b_")
        y = make.builder.add("add", "add", {"a": y, "b": residual, **scales})
        layernorm(make, y, n)
    else:
        gelu(make, y, n)
    graph = make.builder.build(("norm",) if norm else ("gelu",))
    fused = (("add", "norm") if norm else ("gelu",)) if fuse else ()
    tile = {"m": chance.choice((16, 32)), "n": n if norm and fuse else 16, "k": 32}
    return graph, {"y": mapping(graph, "y", chance.choice(ORDERS), tile, fused)}


def attention(make: Maker, chance: random.Random) -> tuple[Graph, dict[str, Mapping]]:
    """Two heads, with or without mask."""
    tokens, context, width = chance.choice((3, 21)), chance.choice((18, 43)), 24
    query = make.input("query", tokens, 2 * width)
    key, value = make.input("key", context, width), make.input("value", context, width)
    shape = {"heads": 2, "kv_heads": 1}
    scores = make.builder.add("attention_scores", "scores", {"query": query, "key": key}, shape)
    inputs = {"x": scores, **make.table("softmax", chance.choice((1, 2)), 0.1, 0.3)}
    if chance.random() < 0.5:
        make.builder.tensor("mask", (1, context), DType.INT64, TensorRole.INPUT)
        inputs["mask"] = "mask"
    attributes = {**quantization.exponential_attributes(), "causal": chance.random() < 0.5}
    probabilities = make.builder.add("softmax", "softmax", inputs, attributes)
    inputs = {"probabilities": probabilities, "value": value}
    inputs |= make.table("context", 2 * width, 1e-3, 1e-2)
    make.builder.add("attention_context", "context", inputs, shape)
    graph = make.builder.build(("context",))
    fused = ("softmax",) if chance.random() < 0.6 else ()
    tile = {"m": 16, "n": 48, "k": 16}
    return graph, {
        "scores": mapping(graph, "scores", chance.choice(("mnk", "kmn")), tile, fused),
        "context": mapping(graph, "context", "nkm", {"m": 16, "n": 16, "k": 32}),
    }


def digest(values: Any) -> str:
    """Eight hexadecimal digits."""
    return hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=4).hexdigest()


@pytest.mark.parametrize("part", range(3))
def test_programs_and_their_timing(part: int, accelerator: Accelerator, pinned: Pins) -> None:
    """The digests are of all instructions, and of all starts and ends."""
    found: dict[str, object] = {}
    for seed in range(8 * part, 8 * part + 8):
        make, chance = Maker(seed), random.Random(seed)
        graph, schedules = (attention if seed % 3 == 0 else feed_forward)(make, chance)
        device = other(accelerator, chance)
        computed = {name for one in schedules.values() for name in one.fused}
        for operator in graph.operators:
            if operator.name in computed:
                continue
            program = lower(graph, operator, schedules.get(operator.name), device)
            timing = machine.time(program.code, device, trace=True)
            assert timing.trace is not None
            found[f"{seed:02} {operator.name}"] = [
                timing.cycles,
                list(timing.busy_cycles.values()),
                [timing.dram_read_bytes, timing.dram_written_bytes],
                [timing.scratchpad_read_bytes, timing.scratchpad_written_bytes],
                [timing.accumulator_read_bytes, timing.accumulator_written_bytes],
                [timing.macs, *timing.vector_elements.items()],
                list(timing.stalls.values()),
                list(timing.queue_counts.values()),
                machine.energy_pj(timing, device),
                digest(program.code.instructions),
                digest(timing.trace),
            ]
    pinned(f"programs_{part}", found)
