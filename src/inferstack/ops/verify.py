"""The rulebook applied to a whole graph; run after every pass that makes one."""

from __future__ import annotations

from inferstack.core.errors import InputError
from inferstack.ir.graph import Graph, TensorRole
from inferstack.ops.registry import rule_for


def verify(graph: Graph) -> None:
    """Raise InputError at the first violation.

    Names are unique and known, operators stand in execution order, each tensor is written once,
    slots are the rule's, shapes and types are what the rule infers, data has the declared shape.
    """
    where = f"graph {graph.name}"
    ready = {name for name, t in graph.tensors.items() if t.role is not TensorRole.ACTIVATION}
    for tensor in graph.tensors.values():
        if tensor.data is not None and tuple(tensor.data.shape) != tensor.shape:
            raise InputError(
                where,
                f"tensor {tensor.name} holds data of another shape",
                got=tuple(tensor.data.shape),
                need=tensor.shape,
            )
    for operator in graph.operators:
        rule = rule_for(operator)
        slots = set(operator.inputs)
        if not set(rule.required) <= slots <= {*rule.required, *rule.optional}:
            raise InputError(
                where, f"operator {operator.name} has the wrong inputs", got=sorted(slots)
            )
        for name in operator.inputs.values():
            if name not in ready:
                raise InputError(
                    where,
                    f"operator {operator.name} reads {name} before it is written",
                )
        if operator.output in ready or operator.output not in graph.tensors:
            raise InputError(where, f"operator {operator.name} writes {operator.output} again")
        expected = rule.infer(graph.operands(operator), operator.attributes)
        result = graph.result(operator)
        if (result.shape, result.dtype) != expected:
            raise InputError(
                where,
                f"operator {operator.name} has another output than its rule gives",
                got=(result.shape, result.dtype.value),
                need=(expected[0], expected[1].value),
            )
        ready.add(operator.output)
    for name in graph.outputs:
        if name not in ready:
            raise InputError(where, f"output {name} is never written")
