"""`map_operators`: the mapping of every contraction of a graph, equal shapes searched once."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, replace

from inferstack.core.infeasible import Infeasible
from inferstack.cost.cost import Cost, cost
from inferstack.hardware.accelerator import Accelerator
from inferstack.ir.graph import Graph, Operator
from inferstack.mapping.contraction import Contraction, contraction, is_contraction
from inferstack.mapping.nest import Mapping
from inferstack.schedule.gemmini import greedy
from inferstack.schedule.tiles.optimum import Certificate, search

GREEDY = "greedy"
"""As an objective: Gemmini's own heuristic instead of a search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """The schedule of one contraction, with its cost; certificate None for the greedy heuristic."""

    contraction: Contraction
    mapping: Mapping
    cost: Cost
    certificate: Certificate | None


def integer_contractions(graph: Graph) -> list[Operator]:
    """The operators that the array computes: contractions of integers."""
    return [
        operator
        for operator in graph.operators
        if is_contraction(operator)
        and next(iter(graph.operands(operator).values())).dtype.is_integer
        and graph.result(operator).dtype.is_integer
    ]


def map_operators(
    graph: Graph, accelerator: Accelerator, objective: str = "edp"
) -> Dictionary[str, Mapped] | Infeasible:
    """The schedule of each integer contraction, by operator name.

    objective: latency, energy, edp, dram_bytes, or greedy. Raises UnknownNameError for another.
    """
    known: dict[object, Mapped | Infeasible] = {}
    found: dict[str, Mapped] = {}
    for operator in integer_contractions(graph):
        wanted = contraction(graph, operator)
        if wanted.signature not in known:
            known[wanted.signature] = map_contraction(wanted, accelerator, objective)
        mapped = known[wanted.signature]
        if isinstance(mapped, Infeasible):
            return mapped
        found[operator.name] = replace(
            mapped,
            contraction=wanted,
            mapping=replace(mapped.mapping, operator=operator.name),
        )
    return found


def map_contraction(
    wanted: Contraction, accelerator: Accelerator, objective: str
) -> Mapped | Infeasible:
    """The schedule of one contraction."""
    if objective == GREEDY:
        mapping = greedy(wanted, accelerator)
        if isinstance(mapping, Infeasible):
            return mapping
        return Mapped(
            contraction=wanted,
            mapping=mapping,
            cost=cost(mapping, wanted, accelerator),
            certificate=None,
        )
    found = search(wanted, accelerator, objective)
    if isinstance(found, Infeasible):
        return found
    return Mapped(
        contraction=wanted,
        mapping=found.mapping,
        cost=found.cost,
        certificate=found.certificate,
    )
