"""The best schedule of one contraction on any machine: the one door to the two searches."""

from __future__ import annotations

import math

from inferstack.core.errors import MappingError
from inferstack.core.infeasible import Infeasible
from inferstack.cost.cost import cost
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator, Control
from inferstack.mapping.contraction import MATMUL_DIMS, Contraction
from inferstack.schedule.gemmini import greedy
from inferstack.schedule.nests.optimum import optimum
from inferstack.schedule.store import OptimumStore, stored_optimum
from inferstack.schedule.tiles.optimum import search

GREEDY = "greedy"
"""As an objective: Gemmini's own heuristic instead of a search."""


def is_program(contraction: Contraction, accelerator: Accelerator) -> bool:
    """Whether the machine computes a contraction by a program: tiles of m, n and k."""
    has_tiles = set(MATMUL_DIMS) <= set(contraction.extents)
    return accelerator.control is Control.PROGRAMS and has_tiles


def best_schedule(
    contraction: Contraction,
    accelerator: Accelerator,
    objective: str,
    *,
    perfect: bool = False,
    budget_s: float = math.inf,
    store: OptimumStore | None = None,
    rest: tuple[float, float] = (0.0, 0.0),
) -> Scheduled | Infeasible:
    """The proven best schedule, in the space that the machine can run.

    objective: one of `cost.figures.OBJECTIVES`, or `GREEDY`. perfect: only factors that divide.
    budget_s, store: of the search over nests; tiles take milliseconds. rest: cycles and energy of
    what runs beside a program and counts with it. Raises UnknownNameError for another objective.
    """
    if objective == GREEDY:
        return heuristic_schedule(contraction, accelerator)
    if is_program(contraction, accelerator):
        return search(contraction, accelerator, objective, rest=rest, perfect=perfect)
    if store is None:
        return optimum(contraction, accelerator, objective, perfect=perfect, budget_s=budget_s)
    return stored_optimum(
        contraction, accelerator, objective, store, perfect=perfect, budget_s=budget_s
    )


def heuristic_schedule(
    contraction: Contraction, accelerator: Accelerator
) -> Scheduled | Infeasible:
    """The schedule of Gemmini's library, with what follows fused.

    Raises MappingError where the machine computes it by no program.
    """
    if not is_program(contraction, accelerator):
        raise MappingError(
            f"operator {contraction.name} on {accelerator.name}",
            "has no schedule of Gemmini's library",
            need="a matrix product on a machine that runs programs, such as gemmini",
        )
    epilogue = contraction.epilogue
    mapping = greedy(
        contraction.finished, accelerator, epilogue.names, whole_rows=epilogue.whole_rows
    )
    if isinstance(mapping, Infeasible):
        return mapping
    return Scheduled(
        contraction=contraction,
        accelerator=accelerator,
        mapping=mapping,
        cost=cost(mapping, contraction, accelerator),
        certificate=None,
    )
