"""`Layer`: one contraction, of a model or written out, to be mapped by itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from inferstack.api.machine import Machine, machine_of
from inferstack.api.schedule import Schedule
from inferstack.api.shown import Record, Shown
from inferstack.core.infeasible import DoesNotFitError, Infeasible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inferstack.mapping.contraction import Contraction


class Layer(Shown):
    """A layer that the array computes: a matmul, attention's products, a convolution."""

    __slots__ = ("contraction",)

    def __init__(self, contraction: Contraction) -> None:
        self.contraction = contraction

    @property
    def name(self) -> str:
        """Its name."""
        return self.contraction.name

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.contraction.macs

    def map(
        self,
        on: Machine | str | Path,
        *,
        objective: str = "edp",
        perfect: bool = False,
        budget_s: float | None = None,
    ) -> Schedule:
        """Its proven best schedule on a machine, for latency, energy, edp or dram_bytes.

        perfect: only factors that divide. budget_s: seconds, after which the best so far is taken
        and the certificate says how far it may be. Raises DoesNotFitError.
        """
        from inferstack.schedule.contraction import best_schedule

        machine = machine_of(on)
        found = best_schedule(
            self.contraction,
            machine.accelerator,
            objective,
            perfect=perfect,
            budget_s=math.inf if budget_s is None else budget_s,
        )
        if isinstance(found, Infeasible):
            raise DoesNotFitError(found)
        return Schedule(found)

    def heuristic(self, on: Machine | str | Path = "gemmini") -> Schedule:
        """The schedule of Gemmini's own library, greedy tiles without a search, for comparison.

        Raises DoesNotFitError, and MappingError on a machine that does not run programs.
        """
        from inferstack.schedule.contraction import heuristic_schedule

        found = heuristic_schedule(self.contraction, machine_of(on).accelerator)
        if isinstance(found, Infeasible):
            raise DoesNotFitError(found)
        return Schedule(found)

    def table(self) -> RenderableType:
        """Its loops and operands, for rich."""
        from inferstack.report.layer import to_table

        return to_table(self.contraction)

    def to_dict(self) -> Record:
        """Name, dimensions and operands."""
        from inferstack.report.layer import to_json

        return to_json(self.contraction)

    def records(self) -> list[Record]:
        """A row per operand."""
        operands: list[Record] = self.to_dict()["operands"]
        return operands
