"""`OperatorTime`: an operator's counts and time on a machine, and sums over a generation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from inferstack.analysis.count import OperatorCount, affine_ranges
from inferstack.ir.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime(OperatorCount):
    """An operator on a machine; every figure is of all its `repeats` together.

    traffic_bytes: between DRAM and the next memory.
    """

    compute_cycles: float
    memory_cycles: float
    cycles: float

    @property
    def is_memory_bound(self) -> bool:
        """Whether the traffic takes longer than the computation."""
        return self.memory_cycles > self.compute_cycles


Times = tuple[OperatorTime, ...]


def summed(
    step: Callable[[int], Graph], times: Callable[[Graph], Times], tokens: int, piece: int
) -> Times:
    """The sum over `tokens` steps of decoding; step(context) is one behind that many tokens.

    Exact without taking every step, where figures are affine in the context as long as it stays
    within one piece and one of `affine_ranges`, and no operator changes between compute and memory
    bound.
    """

    def timed(context: int) -> Times:
        return times(step(context))

    pieces = []
    for contexts in affine_ranges(step, tokens):
        for start in range(contexts.start, contexts.stop, piece):
            end = min(start + piece, contexts.stop) - 1
            pieces.append(_between(timed, (start, timed(start)), (end, timed(end))))
    return tuple(_added(parts) for parts in zip(*pieces, strict=True))


_Step = tuple[int, Times]


def _between(step: Callable[[int], Times], start: _Step, end: _Step) -> Times:
    """The sum over the contexts start .. end, both included."""
    (first, costs), (last, end_costs) = start, end
    pairs = tuple(zip(costs, end_costs, strict=True))
    if last - first < 2 or all(a.is_memory_bound == b.is_memory_bound for a, b in pairs):
        count = last - first + 1
        return tuple(_series(a, b, count) for a, b in pairs)
    middle = (first + last) // 2
    low, high = ((context, step(context)) for context in (middle, middle + 1))
    halves = (_between(step, start, low), _between(step, high, end))
    return tuple(_added(parts) for parts in zip(*halves, strict=True))


def _series(a: OperatorTime, b: OperatorTime, count: int) -> OperatorTime:
    """The sum of `count` figures that go from `a` to `b` in equal steps."""
    return replace(
        a,
        flops=count * (a.flops + b.flops) // 2,
        traffic_bytes=count * (a.traffic_bytes + b.traffic_bytes) // 2,
        compute_cycles=count * (a.compute_cycles + b.compute_cycles) / 2,
        memory_cycles=count * (a.memory_cycles + b.memory_cycles) / 2,
        cycles=count * (a.cycles + b.cycles) / 2,
    )


def _added(parts: tuple[OperatorTime, ...]) -> OperatorTime:
    return replace(
        parts[0],
        flops=sum(part.flops for part in parts),
        traffic_bytes=sum(part.traffic_bytes for part in parts),
        compute_cycles=sum(part.compute_cycles for part in parts),
        memory_cycles=sum(part.memory_cycles for part in parts),
        cycles=sum(part.cycles for part in parts),
    )
