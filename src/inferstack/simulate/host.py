"""Operators that no unit of the machine supports: the host computes them by the reference."""

from __future__ import annotations

from inferstack.cost.units import host_cycles
from inferstack.hardware.accelerator import Accelerator
from inferstack.ir.graph import Graph, Operator
from inferstack.mapping.epilogue import PRODUCT, VECTOR_KINDS
from inferstack.ops.registry import rule_for
from inferstack.simulate.isa import FACTOR_BYTES
from inferstack.simulate.machine import Timing

ACCELERATED = ("matmul", "attention_scores", "attention_context")


def on_host(graph: Graph, operator: Operator, accelerator: Accelerator) -> bool:
    """Whether the host computes the operator: it is not integer, or has no unit."""
    tensors = [*graph.operands(operator).values(), graph.result(operator)]
    if operator.kind in ACCELERATED:
        return not tensors[0].dtype.is_integer or not tensors[-1].dtype.is_integer
    if operator.kind in VECTOR_KINDS and accelerator.supports(operator.kind):
        if operator.kind == PRODUCT and len({tensor.shape for tensor in tensors[:2]}) > 1:
            return True
        return not tensors[0].dtype.is_integer
    return True


def _points(graph: Graph, operator: Operator) -> int:
    """Elements that the operator walks: of its result, or of what it reduces."""
    rule, operands = rule_for(operator), graph.operands(operator)
    return rule.space(operands, graph.result(operator), operator.attributes).points


def host_bytes(graph: Graph, operator: Operator) -> tuple[int, int]:
    """(read, written) of DRAM: operands once, of a table no more elements than points that gather.

    Nothing stays on the chip between two operators of the host.
    """
    operands, result = graph.operands(operator), graph.result(operator)
    points = _points(graph, operator)
    read = sum(
        tensor.dtype.size_bytes(min(tensor.elements, points))
        for tensor in {tensor.name: tensor for tensor in operands.values()}.values()
    )
    factors = operator.kind == "quantize" and operator.attributes.get("probabilities", False)
    rows = result.elements // result.shape[-1] if factors else 0
    return read, result.size_bytes + rows * FACTOR_BYTES


def host_timing(graph: Graph, operator: Operator, accelerator: Accelerator) -> Timing:
    """The operator on the host; the cycles per element include those of its memory traffic."""
    cycles = host_cycles(operator.kind, _points(graph, operator), accelerator)
    read, written = host_bytes(graph, operator)
    return Timing(
        cycles=cycles,
        busy_cycles={"host": cycles},
        dram_read_bytes=read,
        dram_written_bytes=written,
        scratchpad_read_bytes=0,
        scratchpad_written_bytes=0,
        accumulator_read_bytes=0,
        accumulator_written_bytes=0,
        macs=0,
        vector_elements={},
        stalls={},
        queue_counts={},
    )
