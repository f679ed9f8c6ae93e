"""The baseline: matmuls on int8, everything else in floating point with (de)quantization around it.

What a CNN accelerator does with a Transformer: it has no unit for softmax, LayerNorm and GELU, so
their operands leave as int32, become float on the host, and come back as int8. Links between two
matmuls stay int8. Source: Kim et al. 2023, arXiv:2302.14017, section 3.4.
"""

from __future__ import annotations

from inferstack.compress.calibration import Calibration
from inferstack.compress.crossing import CrossingLowering
from inferstack.compress.lowering import ARRAY_KINDS
from inferstack.ir.graph import Graph, Operator


class Int8Float:
    """The method: see the module."""

    name = "int8-float"
    description = "int8 matmuls, everything else in floating point on the host"

    def apply(self, graph: Graph, calibration: Calibration) -> Graph:
        """The rewritten graph. Raises InputError for weights without values."""
        lowering = _Int8FloatLowering(graph, calibration, self.name)
        for operator in graph.operators:
            lowering.lower(operator)
        return lowering.builder.build(tuple(lowering.as_float(name) for name in graph.outputs))


class _Int8FloatLowering(CrossingLowering):
    """What the array computes is int8."""

    def lower(self, operator: Operator) -> None:
        """Add the operator, on int8 where the array computes it."""
        if not self.on_array(operator):
            self.host(operator)
            return
        consumers = self.graph.consumers(operator.output)
        stays = bool(consumers) and all(user.kind in ARRAY_KINDS for user in consumers)
        if operator.kind == "matmul":
            self.matmul(operator, stays)
        elif operator.kind == "attention_scores":
            self.attention_scores(operator)
        else:
            self.attention_context(operator, stays)

    def takes_integers(self, user: Operator) -> bool:
        """The array's operators; the host's read floating point."""
        return self.on_array(user)


METHOD = Int8Float()
