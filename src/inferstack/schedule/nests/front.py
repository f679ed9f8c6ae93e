"""The Pareto front of latency and energy: each point a proven optimum."""

from __future__ import annotations

from inferstack.core.infeasible import Infeasible
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.schedule.nests.optimum import optimum


def front(
    contraction: Contraction, accelerator: Accelerator, *, perfect: bool = False
) -> tuple[Scheduled, ...] | Infeasible:
    """Mappings that none beats in both, the least energy first, the fewest cycles last.

    The least energy of all, then the least energy of those with fewer cycles, and so on: one search
    for each point.
    """
    found = list[Scheduled]()
    fastest = optimum(contraction, accelerator, "latency", perfect=perfect)
    if isinstance(fastest, Infeasible):
        return fastest
    most = float("inf")
    while most >= fastest.cost.cycles:
        point = optimum(contraction, accelerator, "energy", perfect=perfect, most_cycles=most)
        assert isinstance(point, Scheduled), "the fastest is within the limit"
        found.append(point)
        most = point.cost.cycles - 1
    return tuple(found)
