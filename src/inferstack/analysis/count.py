"""FLOPs and bytes of a graph, operator by operator, under a counting convention.

Both follow from the iteration spaces of `ops`; nothing is typed per model or phase. Bytes are
those of ideal reuse: each operator reads its operands and writes its result once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from inferstack.analysis.convention import Convention, Site, window_of
from inferstack.ir.graph import Graph, Work
from inferstack.ops.registry import rule_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Operations, and the bytes moved for them."""

    flops: int
    traffic_bytes: int

    @property
    def intensity(self) -> float:
        """FLOPs per byte; 0 where nothing moves."""
        return self.flops / self.traffic_bytes if self.traffic_bytes else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCount(Count):
    """An operator's share; flops and traffic_bytes are of all its `repeats` together."""

    name: str
    kind: str
    part: str
    work: Work
    repeats: int


def count(graph: Graph, convention: Convention) -> tuple[OperatorCount, ...]:
    """One pass of `graph`: each operator that the convention counts, in execution order."""
    counts = []
    for operator in graph.operators:
        if not convention.includes(operator):
            continue
        site, repeats = Site.of(graph, operator), graph.repeat(operator)
        counts.append(
            OperatorCount(
                name=operator.name,
                kind=operator.kind,
                part=operator.part,
                work=rule_for(operator).work,
                repeats=repeats,
                flops=repeats * convention.flops(site),
                traffic_bytes=repeats * convention.traffic_bytes(site),
            )
        )
    return tuple(counts)


def count_generation(
    step: Callable[[int], Graph], tokens: int, convention: Convention
) -> tuple[OperatorCount, ...]:
    """The sum over `tokens` steps of decoding; step(context) is the graph behind that many tokens.

    The first step has no context, the last one tokens - 1. Exact without taking every step, by
    `affine_ranges`. (An odd number of 4-bit elements fills a byte up, which is not affine: then
    half a byte per access and step off.)
    """
    pieces = []
    for contexts in affine_ranges(step, tokens):
        first, last = (count(step(context), convention) for context in (contexts[0], contexts[-1]))
        pieces.append(
            tuple(
                replace(
                    b,
                    flops=len(contexts) * (a.flops + b.flops) // 2,
                    traffic_bytes=len(contexts) * (a.traffic_bytes + b.traffic_bytes) // 2,
                )
                for a, b in zip(first, last, strict=True)
            )
        )
    return tuple(
        replace(
            parts[-1],
            flops=sum(part.flops for part in parts),
            traffic_bytes=sum(part.traffic_bytes for part in parts),
        )
        for parts in zip(*pieces, strict=True)
    )


def affine_ranges(step: Callable[[int], Graph], tokens: int) -> tuple[range, ...]:
    """The contexts 0 .. tokens - 1 of decoding, in ranges in which every count is affine.

    What a step asks for grows by the same with each token of context, until the context fills a
    sliding window: from there on its layers see no more keys. The mean of a range's first and last
    step is that of all its steps.
    """
    found = {window_of(operator) for operator in step(0).operators if operator.kind == "softmax"}
    cuts = sorted({0, tokens, *(window for window in found if window and window < tokens)})
    return tuple(range(start, end) for start, end in pairwise(cuts))


def total(counts: Iterable[Count]) -> Count:
    """The sum."""
    items = tuple(counts)
    return Count(
        flops=sum(item.flops for item in items),
        traffic_bytes=sum(item.traffic_bytes for item in items),
    )


def grouped(
    counts: Iterable[OperatorCount], key: Callable[[OperatorCount], str]
) -> dict[str, Count]:
    """Sums by `key`, in the order in which the keys appear."""
    groups: dict[str, list[OperatorCount]] = {}
    for item in counts:
        groups.setdefault(key(item), []).append(item)
    return {name: total(items) for name, items in groups.items()}


def by_part(counts: Iterable[OperatorCount]) -> dict[str, Count]:
    """Sums by part of the model."""
    return grouped(counts, lambda item: item.part)


def by_kind(counts: Iterable[OperatorCount]) -> dict[str, Count]:
    """Sums by kind of operator."""
    return grouped(counts, lambda item: item.kind)


def by_operator(counts: Iterable[OperatorCount]) -> dict[str, Count]:
    """Each operator by itself, its repeats together."""
    return grouped(counts, label)


def label(item: OperatorCount) -> str:
    """An operator's name, and how often the model holds it."""
    return f"{item.name} ×{item.repeats}" if item.repeats > 1 else item.name
