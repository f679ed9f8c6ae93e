"""The mapping of a whole model: each distinct operator and fused group once, with totals."""

from __future__ import annotations

from dataclasses import dataclass

from inferstack.core.infeasible import Infeasible
from inferstack.core.progress import Progress, silent
from inferstack.cost.groups.bounds import Floor, floor
from inferstack.cost.groups.group import GroupCost
from inferstack.cost.groups.setting import Setting
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator, Control
from inferstack.mapping.kernels import KernelGraph
from inferstack.ops.registry import assumptions
from inferstack.schedule.groups.choose import Fusion, FusionProof, choose
from inferstack.schedule.programs import schedule_programs
from inferstack.schedule.searcher import Searcher


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """Groups that run alike.

    times: in one pass of the model. least: what no schedule goes below.
    """

    groups: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...]
    times: int
    cost: GroupCost
    least: Floor
    utilization: float

    @property
    def name(self) -> str:
        """The kernels of the first of them."""
        return " + ".join(self.groups[0])

    @property
    def bound_by(self) -> str:
        """What its latency is bound by."""
        return self.cost.bound_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """One pass of the model."""

    cycles: int
    energy_pj: float
    dram_bytes: int
    macs: int

    @property
    def edp(self) -> float:
        """pJ times cycles."""
        return self.energy_pj * self.cycles


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    """The result of `inferstack map`.

    unfused: the same model, each operator on its own; alone: its schedules, each distinct shape
    once. unproven: searches that were stopped before their proof; with any, the plan is the best
    that was found. gap: by which share the optimum of any of them may be lower.
    """

    model: str
    accelerator: str
    clock_hz: float
    peak_macs_per_cycle: int
    objective: str
    rows: tuple[PlanRow, ...]
    totals: Totals
    unfused: Totals
    alone: tuple[Scheduled, ...]
    proof: FusionProof
    unproven: int
    gap: float
    graph: KernelGraph

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the schedules take for granted of the data."""
        return assumptions(kernel.kind for kernel in self.graph.kernels)


def plan(
    graph: KernelGraph,
    accelerator: Accelerator,
    searcher: Searcher,
    *,
    fuse: bool = True,
    progress: Progress = silent,
) -> ModelPlan | Infeasible:
    """Maps every operator and chooses what to fuse, for the searcher's objective."""
    setting = Setting(graph=graph, accelerator=accelerator, inner=searcher)
    wanted = [kernel.contraction for kernel in graph.kernels if kernel.contraction is not None]
    if accelerator.control is Control.PROGRAMS:
        found = _of_programs(setting, searcher, fuse=fuse)
    else:
        searcher.look_ahead(wanted, accelerator, progress)
        found = choose(setting, searcher.objective, fuse=fuse, progress=progress)
    if isinstance(found, Infeasible):
        return found
    return ModelPlan(
        model=graph.name,
        accelerator=accelerator.name,
        clock_hz=accelerator.clock_hz,
        peak_macs_per_cycle=accelerator.peak_macs_per_cycle,
        objective=searcher.objective,
        rows=_rows(setting, found),
        totals=_totals(graph, found.groups),
        unfused=_totals(graph, found.unfused),
        alone=_alone(found.unfused),
        proof=found.proof,
        unproven=searcher.unproven,
        gap=searcher.gap,
        graph=graph,
    )


def _of_programs(setting: Setting, searcher: Searcher, *, fuse: bool) -> Fusion | Infeasible:
    """Chains instead of groups: what follows a contraction is fused to its tiles."""
    ways = []
    for fused in (True, False) if fuse else (False,):
        found = schedule_programs(
            setting.graph, setting.accelerator, searcher.beside, searcher.objective, fuse=fused
        )
        if isinstance(found, Infeasible):
            return found
        ways.append(found)
    best, alone = ways[0], ways[-1]
    return Fusion(
        groups=best.groups,
        unfused=alone.groups,
        proof=FusionProof(
            objective=searcher.objective,
            groups=best.chains if fuse else 0,
            options=best.alternatives,
            evaluated=best.alternatives,
            misfits=0,
            pruned_by_bound=0,
            partitions=0,
        ),
    )


def _rows(setting: Setting, found: Fusion) -> tuple[PlanRow, ...]:
    kernels = {kernel.name: kernel for kernel in setting.graph.kernels}
    peak = setting.accelerator.peak_macs_per_cycle
    alike: dict[object, list[GroupCost]] = {}
    for group in found.groups:
        kinds = tuple(kernels[name].kind for name in group.kernels)
        key = (kinds, group.tile, group.cycles, group.energy_pj, group.dram_bytes)
        alike.setdefault(key, []).append(group)
    rows = []
    for groups in alike.values():
        first = groups[0]
        members = [kernels[name] for name in first.kernels]
        rows.append(
            PlanRow(
                groups=tuple(group.kernels for group in groups),
                kinds=tuple(kernel.kind for kernel in members),
                times=sum(kernels[group.kernels[0]].repeats for group in groups),
                cost=first,
                least=floor(setting, members),
                utilization=first.macs / (peak * first.cycles) if first.cycles else 0.0,
            )
        )
    return tuple(rows)


def _alone(groups: tuple[GroupCost, ...]) -> tuple[Scheduled, ...]:
    """The schedules of contractions on their own, each distinct shape once."""
    found: dict[object, Scheduled] = {}
    for group in groups:
        for scheduled in group.schedules:
            found.setdefault(scheduled.contraction.signature, scheduled)
    return tuple(found.values())


def _totals(graph: KernelGraph, groups: tuple[GroupCost, ...]) -> Totals:
    repeats = {kernel.name: kernel.repeats for kernel in graph.kernels}
    times = [repeats[group.kernels[0]] for group in groups]
    pairs = list(zip(groups, times, strict=True))
    return Totals(
        cycles=sum(group.cycles * n for group, n in pairs),
        energy_pj=sum(group.energy_pj * n for group, n in pairs),
        dram_bytes=sum(group.dram_bytes * n for group, n in pairs),
        macs=sum(group.macs * n for group, n in pairs),
    )
