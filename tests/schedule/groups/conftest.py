"""Small graphs, and a search for chunks that loads every operand once."""

from __future__ import annotations

import dataclasses
import math

import pytest

from inferstack.core.dtypes import DType
from inferstack.cost.access import Access
from inferstack.cost.cost import Cost
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.hardware.load import load_accelerator
from inferstack.ir.graph import Graph, TensorRole
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Mapping
from inferstack.ops.builder import GraphBuilder


def machine(scratchpad: int | None = None) -> Accelerator:
    """The peers' common target, with another scratchpad."""
    made = load_accelerator("peers-target")
    if scratchpad is None:
        return made
    levels = tuple(
        dataclasses.replace(level, capacity_bytes=scratchpad)
        if level.name == "scratchpad"
        else level
        for level in made.levels
    )
    return dataclasses.replace(made, levels=levels)


def once(contraction: Contraction, accelerator: Accelerator) -> Scheduled:
    """A schedule that moves every operand once, whatever fits."""
    dram = accelerator.levels[0]
    accesses = {}
    for operand in contraction.operands:
        size = -(-operand.stored(contraction.extents) * operand.bits // 8)
        out = operand.role is Role.OUTPUT
        level = operand.origin or dram.name
        accesses[level, operand.slot] = Access(
            read_bytes=0 if out else size, written_bytes=size if out else 0
        )
    cost = Cost(
        cycles=contraction.macs,
        energy_pj=float(contraction.macs),
        macs=contraction.macs,
        accesses=accesses,
        crossings=(),
        occupancy_bytes={},
        busy_cycles={"array": contraction.macs, dram.name: 0},
        compulsory_dram_bytes=0,
        dram=dram.name,
    )
    nest = Mapping(operator=contraction.name, accelerator=accelerator.name, nodes=())
    return Scheduled(
        contraction=contraction, accelerator=accelerator, mapping=nest, cost=cost, certificate=None
    )


def weight(made: GraphBuilder, name: str, *shape: int) -> str:
    """A weight without values."""
    return made.tensor(name, shape, DType.FLOAT32, TensorRole.WEIGHT)


def layer(
    tokens: int, width: int, heads: int, inner: int, *, batch: int = 1, kv_heads: int | None = None
) -> Graph:
    """One encoder layer, shapes only."""
    made = GraphBuilder("layer")
    groups = kv_heads or heads
    narrow = width // heads * groups

    def dense(name: str, source: str, k: int, n: int) -> str:
        return made.add("matmul", name, {"a": source, "b": weight(made, f"{name}.w", k, n)})

    def norm(name: str, source: str) -> str:
        tables = {slot: weight(made, f"{name}.{slot}", width) for slot in ("gamma", "beta")}
        return made.add("layernorm", name, {"x": source, **tables}, {"epsilon": 1e-5})

    split = {"heads": heads, "kv_heads": groups}
    x = made.tensor("x", (batch, tokens, width), DType.FLOAT32, TensorRole.INPUT)
    query, key, value = (
        dense(name, x, width, size)
        for name, size in (("query", width), ("key", narrow), ("value", narrow))
    )
    scores = made.add(
        "attention_scores", "scores", {"query": query, "key": key}, {**split, "scale": 1.0}
    )
    weights = made.add("softmax", "softmax", {"x": scores}, {"causal": False})
    inputs = {"probabilities": weights, "value": value}
    context = made.add("attention_context", "context", inputs, split)
    output = dense("output", context, width, width)
    first = norm("norm1", made.add("add", "add1", {"a": output, "b": x}))
    active = made.add(
        "gelu", "gelu", {"x": dense("up", first, width, inner)}, {"approximate": "none"}
    )
    down = dense("down", active, inner, width)
    return made.build((norm("norm2", made.add("add", "add2", {"a": down, "b": first})),))


def bottleneck(channels: int, size: int, *, stride: int = 1) -> Graph:
    """Two 3x3 convolutions around a 1x1 one, normalised, with ReLU and a residual, shapes only."""
    made = GraphBuilder("bottleneck")
    x = made.tensor("x", (1, channels, size, size), DType.FLOAT32, TensorRole.INPUT)

    def conv(name: str, source: str, kernel: int, step: int) -> str:
        shape = (channels, channels, kernel, kernel)
        padding = kernel // 2
        inputs = {"x": source, "weight": weight(made, f"{name}.w", *shape)}
        numbers = {"stride": step, "padding": padding, "dilation": 1, "groups": 1}
        made.add("conv2d", name, inputs, numbers)
        tables = ("gamma", "beta", "mean", "variance")
        normed = {slot: weight(made, f"{name}.{slot}", channels) for slot in tables}
        return made.add("batchnorm", f"{name}_norm", {"x": name, **normed}, {"epsilon": 1e-5})

    first = made.add("relu", "relu0", {"x": conv("conv0", x, 3, stride)})
    second = made.add("relu", "relu1", {"x": conv("conv1", first, 3, 1)})
    third = conv("conv2", second, 1, 1)
    return made.build((made.add("relu", "relu2", {"x": third}),))


@pytest.fixture
def small() -> Graph:
    """An encoder layer whose points can be counted one by one."""
    return layer(7, 8, 2, 12)


def product(sizes: tuple[int, ...]) -> int:
    """Elements of a shape."""
    return math.prod(sizes)
