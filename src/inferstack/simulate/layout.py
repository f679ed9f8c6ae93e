"""Where tensors live in DRAM: every tensor of the graph gets an address, at batch 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.errors import InputError
from inferstack.core.units import ceil_div
from inferstack.ir.graph import Graph
from inferstack.simulate import isa

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

ALIGNMENT_BYTES = 64
LARGEST_BYTES = 2**36


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """addresses: first byte by tensor name. shapes: numpy type and shape by tensor name.

    masks: graph inputs that the machine reads as one byte per flag. factored: probabilities whose
    rows' factors lie in DRAM too, for the attention contexts that read them.
    """

    addresses: Mapping[str, int]
    shapes: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]
    masks: frozenset[str]
    total_bytes: int
    factored: frozenset[str] = frozenset()

    def memory(self, graph: Graph) -> Array:
        """Fresh memory (bytes as int8) with the weights and constants of the graph in place."""
        memory = np.zeros(self.total_bytes, dtype=np.int8)
        for name, tensor in graph.tensors.items():
            if tensor.data is not None:
                self.write(memory, name, tensor.data)
        return memory

    def view(self, memory: Array, name: str) -> Array:
        """The tensor as an array over memory: writing into it writes memory."""
        dtype, shape = self.shapes[name]
        start = self.addresses[name]
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return memory[start : start + size].view(dtype).reshape(shape)

    def write(self, memory: Array, name: str, values: Array) -> None:
        """Stores a tensor. Raises InputError where its shape is another."""
        target = self.view(memory, name)
        if tuple(values.shape) != target.shape:
            raise InputError(
                f"tensor {name}", "another shape", got=tuple(values.shape), need=target.shape
            )
        target[...] = values
        if name in self.factored:
            from inferstack.ops.kernels.integer import row_factor

            sums = values.sum(axis=-1, dtype=np.int64).reshape(-1)
            start = self.addresses[isa.factors_of(name)]
            region = memory[start : start + sums.size * isa.FACTOR_BYTES].view(np.int32)
            region[...] = [row_factor(int(total)) for total in sums]


def lay_out(graph: Graph, spill_bytes: int = 0) -> Layout:
    """Addresses for all tensors, and a region for partial sums.

    Raises InputError for a graph whose tensors take more than 64 GiB or are not of batch 1.
    """
    masks = frozenset(
        op.inputs["mask"] for op in graph.operators if op.kind == "softmax" and "mask" in op.inputs
    )
    factored = frozenset(
        op.inputs["probabilities"]
        for op in graph.operators
        if op.kind == "attention_context"
        and graph.tensors[op.inputs["probabilities"]].dtype.is_integer
    )
    factored |= {
        op.output
        for op in graph.operators
        if op.kind == "softmax" and graph.result(op).dtype.is_integer
    }
    addresses: dict[str, int] = {}
    shapes: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
    at = 0
    for name, tensor in graph.tensors.items():
        if name in graph.inputs and tensor.shape and tensor.shape[0] != 1:
            raise InputError(
                f"graph {graph.name}", f"input {name} is not of batch 1", got=tensor.shape
            )
        dtype = np.dtype(np.int8) if name in masks else tensor.dtype.numpy()
        addresses[name], shapes[name] = at, (dtype, tensor.shape)
        at += _aligned(tensor.elements * dtype.itemsize)
        if name in factored:
            addresses[isa.factors_of(name)] = at
            at += _aligned(tensor.elements // tensor.shape[-1] * isa.FACTOR_BYTES)
    addresses[isa.SPILL] = at
    at += _aligned(spill_bytes)
    if at > LARGEST_BYTES:
        raise InputError(
            f"graph {graph.name}", "too large to simulate", got=f"{at:,} bytes", need=LARGEST_BYTES
        )
    return Layout(
        addresses=addresses, shapes=shapes, masks=masks, total_bytes=at, factored=factored
    )


def _aligned(size_bytes: int) -> int:
    return ceil_div(max(1, size_bytes), ALIGNMENT_BYTES) * ALIGNMENT_BYTES
