"""Graphs of one operator with random int8 data, mappings by hand, and programs by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.core.dtypes import DType
from inferstack.hardware.accelerator import Accelerator
from inferstack.hardware.load import load_accelerator
from inferstack.ir.graph import Graph, TensorRole
from inferstack.mapping.nest import Loop, Mapping, Store
from inferstack.ops.builder import GraphBuilder
from inferstack.ops.quantization import dyadic
from inferstack.simulate import isa

Array = npt.NDArray[Any]
SLOTS = {
    "matmul": ("a", "b"),
    "attention_scores": ("query", "key"),
    "attention_context": ("probabilities", "value"),
}


class Maker:
    """Builds small integer graphs; every value comes from one seeded generator."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.builder = GraphBuilder("small")
        self.feeds: dict[str, Array] = {}

    def values(self, dtype: DType, shape: tuple[int, ...], largest: int = 2**18) -> Array:
        """Random int8 in [-127, 127], or int32 up to `largest`."""
        limit = 127 if dtype is DType.INT8 else largest
        drawn = self.random.integers(-limit, limit + 1, shape)
        return np.asarray(drawn, dtype=dtype.numpy())

    def input(self, name: str, *shape: int, dtype: DType = DType.INT8, sentences: int = 2) -> str:
        """A graph input of batch 1 and `sentences` values for it."""
        self.feeds[name] = self.values(dtype, (sentences, *shape))
        return self.builder.tensor(name, (1, *shape), dtype, TensorRole.INPUT)

    def weight(self, name: str, *shape: int, dtype: DType = DType.INT8) -> str:
        """A weight."""
        data = self.values(dtype, shape)
        return self.builder.tensor(name, shape, dtype, TensorRole.WEIGHT, data)

    def constant(self, name: str, data: Array) -> str:
        """An int32 table."""
        return self.builder.tensor(name, data.shape, DType.INT32, TensorRole.CONSTANT, data)

    def table(
        self, name: str, channels: int, low: float, high: float, prefix: str = ""
    ) -> dict[str, str]:
        """Slots of a rescale by random factors."""
        multiplier, shift = dyadic(self.random.uniform(low, high, channels))
        return {
            f"{prefix}multiplier": self.constant(f"{name}.{prefix}multiplier", multiplier),
            f"{prefix}shift": self.constant(f"{name}.{prefix}shift", shift),
        }

    def matmul(
        self,
        a: str,
        k: int,
        n: int,
        *,
        name: str = "y",
        bias: bool = True,
        requantize: bool = True,
        transpose: bool = False,
    ) -> str:
        """A matmul with random weights."""
        shape = (n, k) if transpose else (k, n)
        inputs = {"a": a, "b": self.weight(f"{name}.w", *shape)}
        if bias:
            inputs["bias"] = self.weight(f"{name}.bias", n, dtype=DType.INT32)
        if requantize:
            inputs |= self.table(name, n, 1e-4, 1e-3)
        return self.builder.add("matmul", name, inputs, {"transpose_b": True} if transpose else {})


@pytest.fixture
def make() -> Maker:
    """A fresh builder."""
    return Maker()


@pytest.fixture(scope="session")
def accelerator() -> Accelerator:
    """The Transformer-tuned Gemmini."""
    return load_accelerator("gemmini-ibert")


def sized(accelerator: Accelerator, scratchpad_kib: int, accumulator_kib: int) -> Accelerator:
    """The machine with other memories."""
    kib = {"scratchpad": scratchpad_kib, "accumulator": accumulator_kib}
    levels = tuple(
        dataclasses.replace(level, capacity_bytes=kib[level.name] * 1024)
        if level.name in kib
        else level
        for level in accelerator.levels
    )
    return dataclasses.replace(accelerator, levels=levels)


def mapping(
    graph: Graph,
    operator: str,
    order: str,
    tile: dict[str, int],
    fused: tuple[str, ...] = (),
) -> Mapping:
    """Loops over m, n, k in `order` with everything stored below them."""
    kind = next(op.kind for op in graph.operators if op.name == operator)
    loops = tuple(Loop(dim, tile[dim]) for dim in order)
    a, b = SLOTS[kind]
    stores = (Store(a, "scratchpad"), Store(b, "scratchpad"), Store("out", "accumulator"))
    return Mapping(
        operator=operator, accelerator="gemmini-ibert", nodes=(*loops, *stores), fused=fused
    )


def instruction(opcode: int, **fields: int) -> Array:
    """One record."""
    made = np.zeros(1, dtype=isa.INSTRUCTION)
    made["opcode"], made["config"] = opcode, -1
    for name, value in fields.items():
        made[name] = value
    return made


def code(*records: Array, operands: tuple[int, ...] = (4096, 4096, 4096, 4096)) -> isa.Code:
    """Code by hand: local memories of 256 rows."""
    return isa.Code(
        instructions=np.concatenate(records),
        configurations=np.zeros(1, dtype=isa.CONFIGURATION),
        operand_bytes=operands,
        scratchpad_rows=256,
        accumulator_rows=256,
        signature="by hand",
    )


def mvin(local: int, rows: int, cols: int, operand: int = 0, **fields: int) -> Array:
    """Rows of DRAM, densely packed, to local memory."""
    size = 4 if fields.get("flags", 0) & isa.WIDE else 1
    fields.setdefault("stride", cols * size)
    return instruction(isa.MVIN, local=local, rows=rows, cols=cols, operand=operand, **fields)


def block(a: int, b: int, c: int, rows: int = 16) -> tuple[Array, Array]:
    """preload and compute of one block."""
    preload = instruction(isa.PRELOAD, local=b, other=c | isa.ACCUMULATOR, rows=16, cols=16)
    compute = instruction(isa.COMPUTE, local=a, rows=rows, cols=16, column=16)
    return preload, compute


def mvout(local: int, rows: int, operand: int = 2, **fields: int) -> Array:
    """16 columns of int32 to DRAM."""
    return instruction(
        isa.MVOUT,
        local=local | isa.ACCUMULATOR,
        rows=rows,
        cols=16,
        operand=operand,
        flags=isa.WIDE,
        stride=64,
        **fields,
    )
