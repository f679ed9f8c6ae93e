"""`Infeasible`: "does not fit" as a value, with the tightest demand and what would help."""

from __future__ import annotations

from dataclasses import dataclass

from inferstack.core.errors import InferStackError
from inferstack.core.text import message_part


@dataclass(frozen=True, slots=True, kw_only=True)
class Infeasible:
    """No mapping fits.

    resource: what ran out, e.g. "accumulator of gemmini, tensor out of layer0.query".
    demand, limit: the smallest demand of any mapping and what there is, both in `unit`.
    levers: changes that would make it fit, the most direct first.
    """

    resource: str
    demand: int
    limit: int
    unit: str
    levers: tuple[str, ...]

    def message(self) -> str:
        """The text that the user reads."""
        text = f"{message_part(self.resource)}: does not fit"
        text += f"; got a demand of {self.demand:,} {self.unit}"
        text += f", need at most {self.limit:,} {self.unit}"
        if self.levers:
            text += "\n\nhint: " + message_part("; or ".join(self.levers))
        return text


class DoesNotFitError(InferStackError):
    """An `Infeasible` for callers who want a schedule or nothing. outcome: what does not fit."""

    exit_code = 1

    def __init__(self, outcome: Infeasible) -> None:
        self.outcome = outcome
        super().__init__(outcome.resource, "does not fit")

    def message(self) -> str:
        """The text that the user reads."""
        return self.outcome.message()
