"""`with_tokens`: the same graph for another sequence length; shapes follow from the rules."""

from __future__ import annotations

import dataclasses

from inferstack.core.errors import InputError
from inferstack.ir.graph import Graph, TensorRole
from inferstack.ops.builder import GraphBuilder


def with_tokens(graph: Graph, tokens: int) -> Graph:
    """`graph` with every input's second axis (batch, tokens) set to `tokens`.

    Raises InputError where an input has no token axis, or the inputs disagree on it.
    """
    lengths = {graph.tensors[name].shape[1:] for name in graph.inputs}
    if len(lengths) != 1 or len(next(iter(lengths))) != 1:
        raise InputError(
            f"graph {graph.name}",
            "the inputs have no common token axis",
            got=sorted(lengths),
            need="inputs of shape (batch, tokens)",
        )
    if next(iter(lengths)) == (tokens,):
        return graph
    builder = GraphBuilder(graph.name)
    for tensor in graph.tensors.values():
        if tensor.role is TensorRole.INPUT:
            shape = (tensor.shape[0], tokens)
            builder.declare(dataclasses.replace(tensor, shape=shape))
        elif tensor.role is not TensorRole.ACTIVATION:
            builder.declare(tensor)
    for operator in graph.operators:
        builder.add(
            operator.kind,
            operator.name,
            operator.inputs,
            operator.attributes,
            part=operator.part,
            repeats=graph.repeat(operator),
            scale=graph.result(operator).scale,
        )
    builder.shared |= graph.shared
    return builder.build(graph.outputs)
