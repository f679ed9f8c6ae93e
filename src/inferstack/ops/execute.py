"""Runs a graph on numpy arrays by the reference semantics; later stages must agree with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import InputError
from inferstack.ir.graph import Graph, Operator
from inferstack.ops.registry import rule_for

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

Observer = Callable[[Operator, "Array"], None]


def evaluate(graph: Graph, operator: Operator, inputs: Mapping[str, Array]) -> Array:
    """The result of one operator: by the exact integer definition where it applies."""
    rule = rule_for(operator)
    if rule.is_integer(graph.operands(operator), graph.result(operator)):
        return rule.integer_reference(inputs, operator.attributes)
    return rule.reference(inputs, operator.attributes)


def execute(
    graph: Graph,
    feeds: Mapping[str, Array],
    *,
    keep: bool = False,
    observe: Observer | None = None,
) -> dict[str, Array]:
    """The graph's outputs (all tensors that operators write, with `keep`) by name.

    feeds: an array per graph input, of the declared shape, except that the leading (batch) axis may
        have any length: references work on whole batches whatever batch the graph was built for.
    observe: called with each operator and its result, as soon as it is there.
    Raises InputError for a graph with repeats or without weights, or a missing or misshapen feed.
    """
    if graph.repeats:
        raise InputError(f"graph {graph.name}", "one layer stands for several; it cannot run")
    values: dict[str, Array] = {
        name: t.data for name, t in graph.tensors.items() if t.data is not None
    }
    for name in graph.inputs:
        shape = graph.tensors[name].shape
        if name not in feeds or tuple(feeds[name].shape[1:]) != shape[1:]:
            raise InputError(
                f"graph {graph.name}",
                f"input {name} is missing or has another shape",
                got=tuple(feeds[name].shape) if name in feeds else None,
                need=shape,
            )
        values[name] = feeds[name]
    last_use = {n: i for i, op in enumerate(graph.operators) for n in op.inputs.values()}
    results: dict[str, Array] = {}
    for index, operator in enumerate(graph.operators):
        missing = [n for n in operator.inputs.values() if n not in values]
        if missing:
            raise InputError(f"graph {graph.name}", f"tensor {missing[0]} has no values")
        result = evaluate(graph, operator, {s: values[n] for s, n in operator.inputs.items()})
        values[operator.output] = result
        if observe is not None:
            observe(operator, result)
        if keep or operator.output in graph.outputs:
            results[operator.output] = result
        for name in operator.inputs.values():
            if last_use[name] == index:
                values.pop(name, None)
    return results
