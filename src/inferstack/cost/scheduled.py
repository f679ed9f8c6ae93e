"""`Scheduled`: a contraction with its mapping, its cost, and what a search has proven of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from inferstack.cost.figures import Cost
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a search has proven. Mappings are counted up to the order of loops between two stores.

    space: in words. space_size: its mappings. misfits, pruned_by_bound, pruned_by_dominance,
    evaluated, open: how many do not fit, cannot be better by a bound, are matched or beaten by
    another, were costed, and have not been looked at (0 where optimal); their sum is space_size.
    bound: no mapping of the space is better.
    """

    objective: str
    optimal: bool
    space: str
    space_size: int
    misfits: int
    evaluated: int
    pruned_by_bound: int
    pruned_by_dominance: int
    open: int
    bound: float
    seconds: float = field(compare=False)

    def text(self) -> str:
        """In words, the space included."""
        proven = "proven optimal" if self.optimal else "not proven optimal"
        left = "" if self.optimal else f", {self.open:,} open, none under {self.bound:,.6g}"
        return (
            f"{proven} for {self.objective}: {self.space_size:,} mappings, of which "
            f"{self.pruned_by_dominance:,} are no better than others, {self.misfits:,} do not "
            f"fit, {self.pruned_by_bound:,} cannot be better, {self.evaluated:,} evaluated{left}; "
            f"the space: {self.space}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A schedule. certificate: None where no search has made it.

    accelerator: on which; without the bytes that a fused group keeps beside it.
    interrupted: whether Ctrl-C ended the search.
    """

    contraction: Contraction
    accelerator: Accelerator
    mapping: Mapping
    cost: Cost
    certificate: Certificate | None
    interrupted: bool = False

    @property
    def proof(self) -> Certificate:
        """The certificate, which whatever a search has made carries."""
        assert self.certificate is not None, "no search has made this schedule"
        return self.certificate

    @property
    def gap(self) -> float:
        """By which share it may be worse than the true optimum; 0 where it is proven."""
        proof = self.certificate
        if proof is None or proof.optimal:
            return 0.0
        value = self.cost.value(proof.objective)
        return 1 - proof.bound / value if value else 0.0
