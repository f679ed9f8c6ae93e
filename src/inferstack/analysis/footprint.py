"""What must be in memory at once: weights, the cache of keys and values, live activations."""

from __future__ import annotations

from dataclasses import dataclass

from inferstack.analysis.convention import Convention
from inferstack.ir.graph import Graph, Tensor, TensorRole

_CACHED = (("attention_scores", "key"), ("attention_context", "value"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes in memory.

    weight_bytes: all weights and constants, a shared table once. cache_bytes: keys and values of
    all tokens after the pass; 0 for models that keep none. peak_activation_bytes: the largest sum
    of activations (inputs included, cached keys and values not) that some operator needs at once,
    operators run one after the other in the graph's order, nothing in place.
    """

    weight_bytes: int
    cache_bytes: int
    peak_activation_bytes: int

    @property
    def total_bytes(self) -> int:
        """All three."""
        return self.weight_bytes + self.cache_bytes + self.peak_activation_bytes


def footprint(graph: Graph, convention: Convention) -> Footprint:
    """The footprint of one pass of `graph`, elements as wide as the convention says."""

    def size(tensor: Tensor) -> int:
        return convention.size_bytes(tensor, tensor.elements)

    cached, copies = _cached(graph), graph.copies()
    kept = (TensorRole.WEIGHT, TensorRole.CONSTANT)
    weights = [tensor for tensor in graph.tensors.values() if tensor.role in kept]
    return Footprint(
        weight_bytes=sum(copies[t.name] * size(t) for t in weights),
        cache_bytes=sum(copies[name] * size(graph.tensors[name]) for name in cached),
        peak_activation_bytes=max(
            sum(size(graph.tensors[name]) for name in live) for live in _live(graph, cached)
        ),
    )


def _cached(graph: Graph) -> frozenset[str]:
    """The keys and values that the model hands to its next pass."""
    read = {
        operator.inputs[slot]
        for operator in graph.operators
        for kind, slot in _CACHED
        if operator.kind == kind
    }
    return frozenset(read & set(graph.outputs))


def _live(graph: Graph, cached: frozenset[str]) -> list[set[str]]:
    """The activations that are alive while each operator runs."""
    end = len(graph.operators)
    last_use = {n: i for i, op in enumerate(graph.operators) for n in op.inputs.values()}
    last_use |= dict.fromkeys(graph.outputs, end)
    live = {n for n in graph.inputs if graph.tensors[n].role is TensorRole.INPUT}
    repeated = [i for i, op in enumerate(graph.operators) if graph.repeat(op) > 1]
    for name in live:
        # What one layer of many reads from outside must last for the next one.
        if repeated and any(graph.repeat(user) > 1 for user in graph.consumers(name)):
            last_use[name] = max(last_use[name], repeated[-1])
    moments = []
    for index, operator in enumerate(graph.operators):
        if operator.output not in cached:
            live.add(operator.output)
        moments.append(set(live))
        live = {name for name in live if last_use.get(name, -1) > index}
    return moments
