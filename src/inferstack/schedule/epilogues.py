"""Which epilogues to fuse: for each contraction, how far into the chain behind it, by exact search.

A chain is what may be computed on the output tile: residual adds, then GELU, softmax or LayerNorm.
Every prefix of it is an alternative, "nothing" among them; what is not fused runs on its own. The
schedule of each alternative is the optimum of its tiled space, so that the choice is optimal over
all of them. Chains share no operator, so that the best of each is the best of the graph for sums
(latency, energy, bytes); EDP is that of each chain.
"""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, replace

from inferstack.core.infeasible import Infeasible
from inferstack.cost.cost import Cost
from inferstack.cost.programs.vector import VectorCost, vector_cost, vector_operator
from inferstack.hardware.accelerator import Accelerator
from inferstack.ir.graph import Graph, Operator
from inferstack.mapping.contraction import Contraction, contraction
from inferstack.mapping.epilogue import Epilogue, epilogue_of, fusible_chain
from inferstack.mapping.nest import Mapping
from inferstack.schedule.operators import integer_contractions
from inferstack.schedule.tiles.optimum import Certificate, Found, search


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A contraction with what is fused to it, and what of its chain runs on its own.

    certificate: of the choice and of its schedule together.
    """

    contraction: Contraction
    epilogue: Epilogue
    mapping: Mapping
    cost: Cost
    alone: Dictionary[str, VectorCost]
    certificate: Certificate

    @property
    def cycles(self) -> int:
        """Of the whole chain, predicted."""
        return self.cost.cycles + sum(cost.cycles for cost in self.alone.values())

    @property
    def energy_pj(self) -> float:
        """Of the whole chain."""
        return self.cost.energy_pj + sum(cost.energy_pj for cost in self.alone.values())

    @property
    def dram_bytes(self) -> int:
        """Of the whole chain."""
        return self.cost.dram_bytes + sum(cost.dram_bytes for cost in self.alone.values())

    def value(self, objective: str) -> float:
        """The figure that the search minimizes."""
        figures = {
            "latency": float(self.cycles),
            "energy": self.energy_pj,
            "edp": self.cycles * self.energy_pj,
            "dram_bytes": float(self.dram_bytes),
        }
        return figures[objective]


def best_fusion(
    graph: Graph, accelerator: Accelerator, objective: str = "edp"
) -> Dictionary[str, Group] | Infeasible:
    """The best group of each integer contraction, by its name; equal chains are searched once.

    Raises UnknownNameError for an objective that does not exist.
    """
    known: dict[object, Group | Infeasible] = {}
    found: dict[str, Group] = {}
    for operator in integer_contractions(graph):
        chain = fusible_chain(graph, operator, accelerator)
        alternatives = _alternatives(graph, operator, chain, accelerator)
        wanted = contraction(graph, operator)
        key = (wanted.signature, *(_signature(*pair) for pair in alternatives))
        if key not in known:
            known[key] = _best(wanted, alternatives, accelerator, objective)
        group = known[key]
        if isinstance(group, Infeasible):
            return group
        found[operator.name] = _renamed(group, wanted, chain)
    return found


Alone = dict[str, VectorCost]


def _alternatives(
    graph: Graph, operator: Operator, chain: tuple[Operator, ...], accelerator: Accelerator
) -> list[tuple[Epilogue, Alone]]:
    """Every prefix of the chain, with the costs of the operators behind it on their own."""
    made: list[tuple[Epilogue, Alone]] = []
    for length in range(len(chain) + 1):
        alone: Alone = {}
        for user in chain[length:]:
            cost = vector_cost(vector_operator(graph, user), accelerator)
            if isinstance(cost, Infeasible):
                break
            alone[user.name] = cost
        else:
            made.append((epilogue_of(graph, operator, chain[:length]), alone))
    return made


def _signature(epilogue: Epilogue, alone: Alone) -> object:
    costs = tuple((c.cycles, c.energy_pj, c.dram_bytes) for c in alone.values())
    return replace(epilogue, names=()), costs


def _best(
    wanted: Contraction,
    alternatives: list[tuple[Epilogue, Alone]],
    accelerator: Accelerator,
    objective: str,
) -> Group | Infeasible:
    """The best alternative; ties go to the one that fuses less."""
    groups: list[Group] = []
    misfit: Infeasible | None = None
    for epilogue, alone in alternatives:
        cycles = sum(cost.cycles for cost in alone.values())
        energy = sum(cost.energy_pj for cost in alone.values())
        found = search(wanted, accelerator, objective, epilogue, rest=(cycles, energy))
        if isinstance(found, Infeasible):
            misfit = misfit or found
            continue
        groups.append(_group(wanted, epilogue, alone, found))
    if not groups:
        assert misfit is not None, "an alternative is a schedule or does not fit"
        return misfit
    best = min(groups, key=lambda group: group.value(objective))
    return replace(best, certificate=_together(groups, len(alternatives)))


def _group(wanted: Contraction, epilogue: Epilogue, alone: Alone, found: Found) -> Group:
    return Group(
        contraction=wanted,
        epilogue=epilogue,
        mapping=found.mapping,
        cost=found.cost,
        alone=alone,
        certificate=found.certificate,
    )


def _together(groups: list[Group], alternatives: int) -> Certificate:
    """One certificate of all alternatives that fit."""
    proofs = [group.certificate for group in groups]
    return Certificate(
        objective=proofs[0].objective,
        optimal=all(proof.optimal for proof in proofs),
        space=f"{alternatives} ways to fuse, {len(groups)} of which fit; {proofs[0].space}",
        space_size=sum(proof.space_size for proof in proofs),
        misfits=sum(proof.misfits for proof in proofs),
        evaluated=sum(proof.evaluated for proof in proofs),
        pruned_by_bound=sum(proof.pruned_by_bound for proof in proofs),
        pruned_by_dominance=sum(proof.pruned_by_dominance for proof in proofs),
    )


def _renamed(group: Group, wanted: Contraction, chain: tuple[Operator, ...]) -> Group:
    """The group of an equal chain, with this one's names."""
    fused = tuple(user.name for user in chain[: len(group.epilogue.names)])
    alone = chain[len(fused) :]
    return replace(
        group,
        contraction=wanted,
        epilogue=replace(group.epilogue, names=fused),
        mapping=replace(group.mapping, operator=wanted.name, fused=fused),
        alone=dict(zip((user.name for user in alone), group.alone.values(), strict=True)),
    )
