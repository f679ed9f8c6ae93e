"""FLOPs and bytes of a graph, operator by operator, under a counting convention.

Both follow from the iteration spaces of `ops`; nothing is typed per model or phase. Bytes are
those of ideal reuse: each operator reads its operands and writes its result once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from inferstack.analysis.convention import Convention, Site
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

    The first step has no context, the last one tokens - 1. All counts are affine in the context,
    so the sum is tokens times the mean of the first and the last step, exactly. (An odd number of
    4-bit elements fills a byte up, which is not affine: then half a byte per access and step off.)
    """
    first = count(step(0), convention)
    last = count(step(tokens - 1), convention)
    return tuple(
        replace(
            b,
            flops=tokens * (a.flops + b.flops) // 2,
            traffic_bytes=tokens * (a.traffic_bytes + b.traffic_bytes) // 2,
        )
        for a, b in zip(first, last, strict=True)
    )


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
