"""Schedules of a whole graph on a machine that runs programs, operator after operator.

A chain is a contraction with what may be computed on its output tile: residual adds, then GELU,
softmax or LayerNorm. Every prefix of it is an alternative, "nothing" among them; what is not fused
runs on its own. The schedule of each alternative is the optimum of its tiled space, so that the
choice is optimal over all of them. Chains share no operator, so that the best of each is the best
of the graph for sums (latency, energy, bytes); EDP is that of each chain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from inferstack.core.infeasible import Infeasible
from inferstack.cost.figures import objective_value
from inferstack.cost.groups.group import GroupCost
from inferstack.cost.programs.group import alone_cost, chain_cost
from inferstack.cost.scheduled import Certificate, Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.chain import chained, fusible_chain
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.kernels import Kernel, KernelGraph

Scheduler = Callable[[Contraction, Accelerator, tuple[float, float]], Scheduled | Infeasible]
"""The schedule of a contraction, beside (cycles, energy) of the rest of its chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Groups in execution order. chains, alternatives: how many were looked at."""

    groups: tuple[GroupCost, ...]
    chains: int
    alternatives: int


def schedule_programs(
    graph: KernelGraph,
    accelerator: Accelerator,
    scheduler: Scheduler,
    objective: str,
    *,
    fuse: bool = True,
) -> Programs | Infeasible:
    """The best group of each chain, and every other kernel on its own; equal ones once."""
    finder = _Finder(graph, accelerator, scheduler, objective)
    found: dict[str, GroupCost] = {}
    done: set[str] = set()
    for kernel in graph.kernels:
        if kernel.name in done:
            continue
        groups = finder.chain(kernel, fuse=fuse) if kernel.contraction else finder.alone(kernel)
        if isinstance(groups, Infeasible):
            return groups
        for group in groups:
            found[group.kernels[0]] = group
            done |= set(group.kernels)
    ordered = tuple(found[kernel.name] for kernel in graph.kernels if kernel.name in found)
    return Programs(groups=ordered, chains=finder.chains, alternatives=finder.alternatives)


class _Finder:
    """Finds the groups of one graph, each distinct one once."""

    def __init__(
        self, graph: KernelGraph, accelerator: Accelerator, scheduler: Scheduler, objective: str
    ) -> None:
        self.graph, self.accelerator, self.objective = graph, accelerator, objective
        self.scheduler = scheduler
        self.known: dict[object, tuple[GroupCost, ...] | Infeasible] = {}
        self.chains = self.alternatives = 0

    def alone(self, kernel: Kernel) -> tuple[GroupCost, ...] | Infeasible:
        """A kernel of the units or of the host."""
        found = alone_cost(self.graph, kernel, self.accelerator)
        return found if isinstance(found, Infeasible) else (found,)

    def chain(self, head: Kernel, *, fuse: bool) -> tuple[GroupCost, ...] | Infeasible:
        """A contraction with the best prefix of its chain fused, and what of it runs alone."""
        chain = fusible_chain(self.graph, head, self.accelerator) if fuse else ()
        rests: list[tuple[GroupCost, ...]] = []
        misfit: Infeasible | None = None
        for length in range(len(chain) + 1):
            rest = [self.alone(kernel) for kernel in chain[length:]]
            bad = next((one for one in rest if isinstance(one, Infeasible)), None)
            misfit = misfit or bad
            rests.append(tuple(g for one in rest if not isinstance(one, Infeasible) for g in one))
        ways = [
            (chained(head, chain[:length]), rest)
            for length, rest in enumerate(rests)
            if len(rest) == len(chain) - length
        ]
        key = tuple(
            (wanted.signature, tuple((g.cycles, g.energy_pj, g.dram_bytes) for g in rest))
            for wanted, rest in ways
        )
        if key not in self.known:
            assert ways or misfit is not None, "a chain has a way to run, or a reason"
            self.known[key] = self._best(head, ways) if ways or misfit is None else misfit
        found = self.known[key]
        if isinstance(found, Infeasible):
            return found
        return self._renamed(found, head, chain)

    def _best(
        self,
        head: Kernel,
        ways: Sequence[tuple[Contraction, tuple[GroupCost, ...]]],
    ) -> tuple[GroupCost, ...] | Infeasible:
        """The best alternative; ties go to the one that fuses less."""
        self.chains += 1
        self.alternatives += len(ways)
        made: list[tuple[Scheduled, tuple[GroupCost, ...]]] = []
        misfit: Infeasible | None = None
        for wanted, rest in ways:
            beside = (sum(g.cycles for g in rest), sum(g.energy_pj for g in rest))
            found = self.scheduler(wanted, self.accelerator, beside)
            if isinstance(found, Infeasible):
                misfit = misfit or found
            else:
                made.append((found, rest))
        if not made:
            assert misfit is not None, "an alternative is a schedule or does not fit"
            return misfit
        best, rest = min(made, key=lambda pair: self._value(*pair))
        best = replace(best, certificate=_together([one for one, _ in made], len(ways)))
        names = (head.name, *best.contraction.epilogue.names)
        return (chain_cost(names, best), *rest)

    def _value(self, found: Scheduled, rest: Sequence[GroupCost]) -> float:
        cost = found.cost
        return objective_value(
            self.objective,
            cost.cycles + sum(g.cycles for g in rest),
            cost.energy_pj + sum(g.energy_pj for g in rest),
            cost.dram_bytes + sum(g.dram_bytes for g in rest),
        )

    def _renamed(
        self, found: tuple[GroupCost, ...], head: Kernel, chain: Sequence[Kernel]
    ) -> tuple[GroupCost, ...]:
        """The groups of an equal chain, with this one's names."""
        first = found[0]
        fused = chain[: len(first.kernels) - 1]
        (scheduled,) = first.schedules
        names = tuple(kernel.name for kernel in fused)
        own = replace(
            scheduled,
            contraction=chained(head, fused),
            mapping=replace(scheduled.mapping, operator=head.name, fused=names),
        )
        rest = [self.alone(kernel) for kernel in chain[len(fused) :]]
        alone = [g for one in rest if not isinstance(one, Infeasible) for g in one]
        return (chain_cost((head.name, *names), own), *alone)


def _together(found: Sequence[Scheduled], alternatives: int) -> Certificate | None:
    """One certificate of all alternatives that fit; None where no search has made them."""
    proofs = [one.certificate for one in found if one.certificate is not None]
    if len(proofs) < len(found) or alternatives == 1:
        return found[0].certificate
    return replace(
        proofs[0],
        optimal=all(proof.optimal for proof in proofs),
        space=f"{alternatives} ways to fuse, {len(found)} of which fit; {proofs[0].space}",
        space_size=sum(proof.space_size for proof in proofs),
        misfits=sum(proof.misfits for proof in proofs),
        evaluated=sum(proof.evaluated for proof in proofs),
        pruned_by_bound=sum(proof.pruned_by_bound for proof in proofs),
        pruned_by_dominance=sum(proof.pruned_by_dominance for proof in proofs),
        open=sum(proof.open for proof in proofs),
        bound=min(proof.bound for proof in proofs),
    )
