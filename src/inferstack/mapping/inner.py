"""`Searcher`: the schedules of a model's chunks by exact search, each distinct one found once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from inferstack.core.errors import UnknownNameError
from inferstack.core.infeasible import Infeasible
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.exact.optimum import optimum
from inferstack.mapping.exact.store import OptimumStore, stored_optimum
from inferstack.mapping.fused.setting import Scheduled
from inferstack.mapping.search import OBJECTIVES


@dataclass(slots=True)
class Searcher:
    """A `fused.setting.Inner`. perfect: only steps that divide.

    store: of proven optima, on disk. budget_s: seconds for each search, behind which the best so
    far is taken. unproven: how many were. Raises UnknownNameError for an objective that does not
    exist.
    """

    objective: str
    perfect: bool = False
    store: OptimumStore | None = None
    budget_s: float = math.inf
    unproven: int = 0
    known: dict[object, Scheduled | Infeasible] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the objective."""
        if self.objective not in OBJECTIVES:
            raise UnknownNameError("--objective", "objective", self.objective, OBJECTIVES)

    def __call__(
        self, contraction: Contraction, accelerator: Accelerator
    ) -> Scheduled | Infeasible:
        """The best schedule on a machine."""
        capacities = tuple(level.capacity_bytes for level in accelerator.levels)
        key = (contraction.signature, accelerator.name, capacities)
        if key not in self.known:
            self.known[key] = self._search(contraction, accelerator)
        found = self.known[key]
        if isinstance(found, Infeasible):
            return found
        mapping = replace(found.mapping, operator=contraction.name)
        return replace(found, contraction=contraction, mapping=mapping)

    def _search(self, contraction: Contraction, accelerator: Accelerator) -> Scheduled | Infeasible:
        perfect, budget_s = self.perfect, self.budget_s
        if self.store is None:
            found = optimum(
                contraction, accelerator, self.objective, perfect=perfect, budget_s=budget_s
            )
        else:
            found = stored_optimum(
                contraction,
                accelerator,
                self.objective,
                self.store,
                perfect=perfect,
                budget_s=budget_s,
            )
        if isinstance(found, Infeasible):
            return found
        if not found.proof.optimal:
            # Over its budget, or interrupted: then the rest is found as fast as it can be.
            self.unproven += 1
            self.budget_s = 0.0 if self.budget_s == math.inf else self.budget_s
        return Scheduled(
            contraction=contraction,
            accelerator=accelerator,
            mapping=found.mapping,
            cost=found.cost,
            certificate=found.proof.text(),
        )
