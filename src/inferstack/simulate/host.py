"""Operators that no unit of the machine supports: the host computes them by the reference."""

from __future__ import annotations

import math

from inferstack.hardware.accelerator import Accelerator
from inferstack.ir.graph import Graph, Operator
from inferstack.simulate.machine import Timing

ACCELERATED = ("matmul", "attention_scores", "attention_context")
VECTOR = ("add", "gelu", "softmax", "layernorm")


def on_host(graph: Graph, operator: Operator, accelerator: Accelerator) -> bool:
    """Whether the host computes the operator: it is not integer, or has no unit."""
    tensors = [*graph.operands(operator).values(), graph.result(operator)]
    if operator.kind in ACCELERATED:
        return not tensors[0].dtype.is_integer or not tensors[-1].dtype.is_integer
    if operator.kind in VECTOR and accelerator.supports(operator.kind):
        first = next(iter(operator.inputs.values()))
        return not graph.tensors[first].dtype.is_integer
    return True


def host_cycles(graph: Graph, operator: Operator, accelerator: Accelerator) -> int:
    """Cycles per element of the output times its elements."""
    host = accelerator.host
    rate = host.cycles_per_element.get(operator.kind, host.default_cycles_per_element)
    return math.ceil(graph.result(operator).elements * rate)


def host_timing(graph: Graph, operator: Operator, accelerator: Accelerator) -> Timing:
    """The operator's time on the host; its memory traffic is part of the cycles per element."""
    cycles = host_cycles(graph, operator, accelerator)
    return Timing(
        cycles=cycles,
        busy_cycles={"host": cycles},
        dram_read_bytes=0,
        dram_written_bytes=0,
        scratchpad_read_bytes=0,
        scratchpad_written_bytes=0,
        accumulator_read_bytes=0,
        accumulator_written_bytes=0,
        macs=0,
        vector_elements={},
        stalls={},
        queue_counts={},
    )
