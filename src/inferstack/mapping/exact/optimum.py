"""The proven optimum over general nests: `optimum`, its space and its certificate.

See `skeleton`, `chains` and `kernel` for why what is left out cannot be better.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from inferstack.core.errors import UnknownNameError
from inferstack.core.infeasible import Infeasible
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.cost import Cost, nest_cost
from inferstack.mapping.exact.blocks import Planner
from inferstack.mapping.exact.build import mapping_of
from inferstack.mapping.exact.forms import forms
from inferstack.mapping.exact.screen import SLACK, Packed, Screen, Tally
from inferstack.mapping.exact.sharing import with_shares
from inferstack.mapping.exact.size import space_size
from inferstack.mapping.exact.skeleton import Skeleton, residencies, skeletons
from inferstack.mapping.nest import Mapping
from inferstack.mapping.search import OBJECTIVES
from inferstack.mapping.shapes import check_sizes

SLICE = 512
"""Candidates of the first block between two looks at the clock."""
MOST_BLOCKS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
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
    seconds: float

    def text(self) -> str:
        """In words, the space included."""
        proven = "proven optimal" if self.optimal else "not proven optimal"
        return (
            f"{proven} for {self.objective}: {self.space_size:,} mappings, of which "
            f"{self.pruned_by_dominance:,} are no better than others, {self.misfits:,} do not "
            f"fit, {self.pruned_by_bound:,} cannot be better, {self.evaluated:,} evaluated; "
            f"the space: {self.space}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """The best mapping, its cost, and the proof."""

    mapping: Mapping
    cost: Cost
    proof: Proof

    @property
    def gap(self) -> float:
        """By which share the best may be worse than the true optimum; 0 where it is proven."""
        value = self.cost.value(self.proof.objective)
        return 0.0 if self.proof.optimal or not value else 1 - self.proof.bound / value


def optimum(
    contraction: Contraction,
    accelerator: Accelerator,
    objective: str = "edp",
    *,
    perfect: bool = False,
    most_cycles: float = math.inf,
    budget_s: float = math.inf,
) -> Optimum | Infeasible:
    """The best mapping of the space.

    perfect: only steps that divide. most_cycles: mappings of more cycles are out of the space.
    budget_s: give up the proof after so long, with the best so far; so does Ctrl-C, once there is
    a best. Ties go to less energy (for energy: to fewer cycles), then to the first in a fixed
    order. Raises UnknownNameError for an objective that does not exist, InputError for sizes that
    are none.
    """
    if objective not in OBJECTIVES:
        raise UnknownNameError("search", "objective", objective, OBJECTIVES)
    check_sizes(contraction)
    search = _Search(contraction, accelerator, objective, perfect, most_cycles, budget_s)
    return search.run()


class _Search:
    """One search: a pass over the perfect factors gives a good first best, then all are walked."""

    def __init__(
        self,
        contraction: Contraction,
        accelerator: Accelerator,
        objective: str,
        perfect: bool,
        most_cycles: float,
        budget_s: float,
    ) -> None:
        import numpy as np

        self.contraction, self.accelerator = contraction, accelerator
        self.objective, self.perfect, self.most_cycles = objective, perfect, most_cycles
        self.started, self.budget_s = time.perf_counter(), budget_s
        self.best = np.full(3 + MOST_BLOCKS, np.inf)
        self.best[2] = 0.0
        self.winner: tuple[Planner, Packed] | None = None
        self.evaluated = 0
        self.forms = {
            residency: forms(contraction, accelerator, residency)
            for residency in residencies(contraction, accelerator)
        }
        self.skeletons = list(skeletons(contraction, accelerator))

    def run(self) -> Optimum | Infeasible:
        """Both passes."""
        left: list[Packed] = []
        waiting = 0
        try:
            if not self.perfect:
                self._pass(perfect=True)
            left, waiting = self._pass(perfect=self.perfect)
        except KeyboardInterrupt:
            if self.winner is None:
                raise
            waiting = len(self.skeletons)
        if self.winner is None:
            return self._infeasible()
        return self._found(left, waiting)

    def _pass(self, *, perfect: bool) -> tuple[list[Packed], int]:
        """Packs all skeletons, then walks them by their bound; returns what was left undone.

        That is: packed skeletons that were not walked to the end, and how many were not packed.
        """
        planner = Planner(self.contraction, self.accelerator, perfect)
        self.screen = Screen(planner, self.objective, self.most_cycles, self.best)
        bounded = {known: with_shares(of, planner.frame) for known, of in self.forms.items()}
        self.tally, self.counts = Tally(), [0, 0, 0]
        waiting = list[Packed]()
        # The wide space begins where the narrow one was best.
        first = None if self.winner is None else self.winner[1].skeleton
        order = sorted(self.skeletons, key=lambda skeleton: skeleton != first)
        for number, skeleton in enumerate(order):
            packed, tally = self.screen.pack(
                skeleton, bounded[_residency(skeleton, len(self.contraction.operands))]
            )
            for name in ("combinations", "misfits", "bounded", "dominated"):
                setattr(self.tally, name, getattr(self.tally, name) + getattr(tally, name))
            if packed is not None and (self.winner is None or perfect or number == 0):
                # A good best leaves out more of the next ones.
                if not self._walk(packed, planner):
                    waiting.append(packed)
            elif packed is not None:
                waiting.append(packed)
            if self._late():
                return waiting, len(self.skeletons) - number - 1
        waiting.sort(key=lambda packed: packed.bound)
        for place, packed in enumerate(waiting):
            if not self._walk(packed, planner):
                return waiting[place:], 0
        return [], 0

    def _late(self) -> bool:
        late = time.perf_counter() - self.started > self.budget_s
        return late and self.winner is not None

    def _walk(self, packed: Packed, planner: Planner) -> bool:
        """Searches a skeleton; False where time ran out before its end."""
        import numpy as np

        from inferstack.mapping.exact.kernel import explore

        if self.screen.hopeless(*packed.bound):
            self.tally.bounded += packed.combinations
            return True
        machine = (
            packed.level_of, packed.bits, self.screen.caps, self.screen.limits, self.screen.fill
        )  # fmt: skip
        rows = len(packed.blocks[0])
        for first in range(0, rows, SLICE):
            found, counts = self.best.copy(), np.zeros(3, dtype=np.int64)
            explore(
                self.screen.kind, first, min(first + SLICE, rows), packed.start, packed.terms,
                packed.tiles, packed.sides, packed.forms.sparse, packed.forms.constants, machine,
                found, self.most_cycles, counts,
            )  # fmt: skip
            self.counts = [old + int(new) for old, new in zip(self.counts, counts, strict=True)]
            if (found[0], found[1]) < (self.best[0], self.best[1]):
                self.best[:] = found
                self.winner = (planner, packed)
            if first + SLICE < rows and self._late():
                return False
        return True

    def _found(self, left: list[Packed], waiting: int) -> Optimum:
        assert self.winner is not None, "there is a best"
        planner, packed = self.winner
        steps: dict[str, tuple[int, ...]] = {}
        for number, block in enumerate(packed.blocks):
            row = int(self.best[3 + number]) - int(packed.start[number])
            for dim, chain in zip(block.dims, block.rows, strict=True):
                steps[dim] = tuple(chain[row].tolist())
        steps = {dim: steps[dim] for dim in planner.extents}
        mapping = mapping_of(planner, packed.skeleton, steps)
        cost = nest_cost(mapping, self.contraction, self.accelerator)
        value = cost.value(self.objective)
        assert math.isclose(value, self.best[0], rel_tol=1e-6), "the search counts as the model"
        bound = min([value, *(p.bound[0] for p in left)])
        if waiting:
            bound = min(bound, self._compulsory())
        return Optimum(
            mapping=mapping,
            cost=cost,
            proof=self._proof(bound, bound >= value * (1 - SLACK)),
        )

    def _compulsory(self) -> float:
        """No mapping of any skeleton is better: every figure of every dimension at its least."""
        import numpy as np

        planner = self.screen.planner
        least = math.inf
        for skeleton in self.skeletons:
            levels = _residency(skeleton, len(self.contraction.operands))
            known = self.forms[levels]
            stores = tuple((o, place) for o, own in enumerate(levels) for place in range(len(own)))
            halves = [group[0] for group in planner.halves(skeleton, known.terms, stores)]
            terms = np.prod([half.least for half in halves], axis=0)
            least = min(least, float(self.screen.goals(known, terms[None, :])[0][0]))
        return least

    def _proof(self, bound: float, optimal: bool) -> Proof:
        size = space_size(self.contraction, self.accelerator, self.perfect)
        tally = self.tally
        evaluated, bounded, misfits = self.counts
        left = size - evaluated - bounded - misfits - tally.misfits - tally.bounded
        return Proof(
            objective=self.objective,
            optimal=optimal,
            space=space_text(self.perfect),
            space_size=size,
            misfits=misfits + tally.misfits,
            evaluated=evaluated,
            pruned_by_bound=bounded + tally.bounded,
            pruned_by_dominance=left if optimal else tally.dominated,
            open=0 if optimal else left - tally.dominated,
            bound=bound,
            seconds=time.perf_counter() - self.started,
        )

    def _infeasible(self) -> Infeasible:
        """The level whose smallest tiles are most over it; else the limit of cycles."""
        worst: tuple[float, Infeasible] | None = None
        for level in self.accelerator.levels[1:]:
            needed = {
                operand.slot: -(-bits // 8)
                for operand in self.contraction.operands
                if self.accelerator.feeding(operand.role) is level
                for bits in [level.partial_sum_bits if operand.role == "output" else operand.bits]
            }
            limit, demand = level.usable_bytes or 0, sum(needed.values())
            if demand <= limit:
                continue
            slot = max(needed, key=lambda slot: (needed[slot], slot))
            whole = demand * (2 if level.double_buffered else 1)
            found = Infeasible(
                resource=f"{level.name} of {self.accelerator.name}, tensor {slot} of "
                f"{self.contraction.name}",
                demand=demand,
                limit=limit,
                unit="bytes",
                levers=(f"at least {whole} bytes of {level.name}",),
            )
            if worst is None or demand / max(limit, 1) > worst[0]:
                worst = (demand / max(limit, 1), found)
        if worst is not None:
            return worst[1]
        fastest = optimum(self.contraction, self.accelerator, "latency", perfect=self.perfect)
        assert isinstance(fastest, Optimum), "the smallest tiles fit"
        return Infeasible(
            resource=f"latency of {self.contraction.name} on {self.accelerator.name}",
            demand=fastest.cost.cycles,
            limit=int(self.most_cycles),
            unit="cycles",
            levers=(f"at least {fastest.cost.cycles} cycles", "a larger array, or wider ports"),
        )


def _residency(skeleton: Skeleton, operands: int) -> tuple[tuple[int, ...], ...]:
    """Levels of the stores of each operand."""
    return tuple(
        tuple(e.at for e in skeleton if e.operand == operand and e.at is not None)
        for operand in range(operands)
    )


def space_text(perfect: bool) -> str:
    """The space in words."""
    steps = "that divide" if perfect else "nested in each other, last tiles smaller"
    return (
        "every operand in its innermost level and any levels between, stores in any order, every "
        f"dimension in every segment with any steps {steps}, any extents along the axes allowed"
    )
