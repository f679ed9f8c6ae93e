"""The schedules of a row, and the simulator's word on them: no row is worse than the one above."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inferstack.core.infeasible import Infeasible
from inferstack.cost.figures import objective_value
from inferstack.cost.groups.group import GroupCost
from inferstack.hardware.accelerator import Accelerator
from inferstack.ir.graph import Graph
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.kernels import kernels_of
from inferstack.schedule.contraction import GREEDY, best_schedule
from inferstack.schedule.programs import schedule_programs

if TYPE_CHECKING:
    from inferstack.cost.scheduled import Scheduled
    from inferstack.simulate.run import Simulator

FUSED = "fused"
"""As a schedule: exact search over epilogues too."""
EXACT = "exact"

Schedules = Dictionary[str, GroupCost]
"""By the name of the group's first operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A row before it is run. method: of the compressed model. schedule: greedy, exact or fused."""

    name: str
    description: str
    method: str
    graph: Graph
    accelerator: Accelerator
    schedule: str


@dataclass(slots=True)
class Simulators:
    """One simulator per machine, so that equal programs are timed once over all rows."""

    known: dict[str, Simulator] = field(default_factory=dict)

    def of(self, accelerator: Accelerator) -> Simulator:
        """The machine's."""
        from inferstack.simulate.run import Simulator

        return self.known.setdefault(accelerator.name, Simulator(accelerator))


def schedules_of(step: Step, objective: str) -> Schedules | Infeasible:
    """The group of every operator that heads one; Infeasible where something does not fit.

    Raises UnknownNameError for an unknown objective.
    """
    chosen = GREEDY if step.schedule == GREEDY else objective

    def scheduler(
        wanted: Contraction, accelerator: Accelerator, rest: tuple[float, float]
    ) -> Scheduled | Infeasible:
        return best_schedule(wanted, accelerator, chosen, rest=rest)

    found = schedule_programs(
        kernels_of(step.graph), step.accelerator, scheduler, objective, fuse=step.schedule == FUSED
    )
    if isinstance(found, Infeasible):
        return found
    return {group.kernels[0]: group for group in found.groups}


Figures = tuple[float, float, float]
"""Cycles, energy in pJ, bytes of DRAM."""


def not_worse(
    step: Step, found: Schedules, above: Schedules, objective: str, simulator: Simulator
) -> tuple[Schedules, tuple[str, ...]]:
    """Of each chain the schedule that the simulator prefers: this row's, or that of the row above.

    above: of the same graph on the same machine. Returns the schedules, and the contractions that
    keep those of the row above. Where the choices together are no better for energy times delay,
    the whole row above stays.
    """
    referee = _Referee(step, simulator)
    taken, kept = dict(found), list[str]()
    chains = {k for n, g in found.items() if g.schedules for k in (*g.kernels, *above[n].kernels)}
    # What is the same in both rows weighs in a product of sums.
    rest = referee.figures({name: one for name, one in found.items() if name not in chains})
    totals, before = list(rest), list(rest)
    for name, group in found.items():
        if not group.schedules:
            continue
        covered = {*group.kernels, *above[name].kernels}
        own, other = (
            referee.figures({k: v for k, v in of.items() if k in covered}) for of in (found, above)
        )
        if objective_value(objective, *other) < objective_value(objective, *own):
            kept.append(name)
            for kernel in covered:
                taken.pop(kernel, None)
            taken |= {kernel: above[kernel] for kernel in covered if kernel in above}
            own = other
        totals = [sum(pair) for pair in zip(totals, own, strict=True)]
        before = [sum(pair) for pair in zip(before, other, strict=True)]
    if objective_value(objective, *totals) > objective_value(objective, *before):
        return above, tuple(name for name, group in above.items() if group.schedules)
    return taken, tuple(kept)


class _Referee:
    """Simulated figures of groups; the simulator times equal code once."""

    def __init__(self, step: Step, simulator: Simulator) -> None:
        self.step, self.simulator = step, simulator
        self.by_name = {operator.name: operator for operator in step.graph.operators}

    def figures(self, groups: Schedules) -> Figures:
        """Of a chain's groups, one after the other."""
        from inferstack.simulate.run import simulate_operator

        cycles = energy = moved = 0.0
        for name, group in groups.items():
            mapping = group.schedules[0].mapping if group.schedules else None
            run = simulate_operator(
                self.step.graph, self.by_name[name], mapping, self.step.accelerator, self.simulator
            )
            cycles += run.cycles * run.repeats
            energy += run.energy_pj * run.repeats
            moved += (run.timing.dram_read_bytes + run.timing.dram_written_bytes) * run.repeats
        return cycles, energy, moved
