"""The proven optimum over general nests: `optimum`, its space and its certificate.

See `skeleton`, `chains` and `kernel` for why what is left out cannot be better.
"""

from __future__ import annotations

import heapq
import math
import time
from typing import TYPE_CHECKING, Any

from inferstack.core.infeasible import Infeasible
from inferstack.cost.cost import cost
from inferstack.cost.figures import check_objective
from inferstack.cost.scheduled import Certificate, Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.legality import usable_bytes
from inferstack.mapping.shapes import check_sizes
from inferstack.schedule.nests.blocks import Planner
from inferstack.schedule.nests.build import mapping_of
from inferstack.schedule.nests.forms import forms
from inferstack.schedule.nests.screen import Drafted, Packed, Screen, Tally
from inferstack.schedule.nests.sharing import with_shares
from inferstack.schedule.nests.size import space_size
from inferstack.schedule.nests.skeleton import residencies, residency_of, skeletons

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

_Open = tuple[tuple[float, float], int, Drafted | Packed]
"""A bound (figure, tie), the number of a skeleton, and what of it is left to do."""
SLICE = 10_000_000
SMALLEST_SLICE, LARGEST_SLICE = 16, 512
"""Combinations between two looks at the clock, and what that may be in candidates of the first
block."""
MOST_BLOCKS = 12


def optimum(
    contraction: Contraction,
    accelerator: Accelerator,
    objective: str = "edp",
    *,
    perfect: bool = False,
    most_cycles: float = math.inf,
    budget_s: float = math.inf,
) -> Scheduled | Infeasible:
    """The best mapping of the space.

    perfect: only steps that divide. most_cycles: mappings of more cycles are out of the space.
    budget_s: give up the proof after so long, with the best so far; so does Ctrl-C, the first time.
    Ties go to less energy (for energy: to fewer cycles), then to the first in a fixed order. Raises
    UnknownNameError for an objective that does not exist, InputError for sizes that are none.
    """
    check_objective("search", objective)
    check_sizes(contraction)
    search = _Search(contraction, accelerator, objective, perfect, most_cycles, budget_s)
    return search.run()


class _Search:
    """One search: perfect factors give a good first best for the space of all."""

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
        self.winner: tuple[Planner, Packed, Array] | None = None
        self.forms = {
            residency: forms(contraction, accelerator, residency)
            for residency in residencies(contraction, accelerator)
        }
        self.skeletons = list(skeletons(contraction, accelerator))
        self.open: list[_Open] = []
        self.opened: bool | None = None
        self.interrupted = False

    def run(self) -> Scheduled | Infeasible:
        """Both passes. Ctrl-C ends them as soon as there is a best; a second one ends all."""
        if (overfull := self._overfull()) is not None:
            return overfull
        try:
            self._passes()
        except KeyboardInterrupt:
            self.interrupted, self.budget_s = True, 0.0
            if self.winner is None:
                self._passes()
            elif self.opened is not self.perfect:
                self._begin(perfect=self.perfect)
        if self.winner is None:
            return self._infeasible()
        return self._found()

    def _passes(self) -> None:
        if not self.perfect:
            self._pass(perfect=True)
        self._pass(perfect=self.perfect)

    def _begin(self, *, perfect: bool) -> None:
        """Opens all skeletons, the one of the least bound first."""
        self.planner = Planner(self.contraction, self.accelerator, perfect)
        self.screen = Screen(self.planner, self.objective, self.most_cycles, self.best)
        self.tally, self.counts = Tally(), [0, 0, 0]
        operands = len(self.contraction.operands)
        shared = {key: with_shares(of, self.planner.frame) for key, of in self.forms.items()}
        self.open = []
        for number, skeleton in enumerate(self.skeletons):
            drafted = self.screen.draft(skeleton, shared[residency_of(skeleton, operands)])
            self.open.append((drafted.bound, number, drafted))
        heapq.heapify(self.open)
        self.opened = perfect

    def _pass(self, *, perfect: bool) -> None:
        """The open skeleton of the least bound is packed, which gives it a better bound, or walked.

        Until none is left that could be better, or time is up.
        """
        self._begin(perfect=perfect)
        if self.winner is not None:
            # The wide space begins where the narrow one was best.
            skeleton = self.winner[1].skeleton
            first = next(i for i, (_, _, it) in enumerate(self.open) if it.skeleton == skeleton)
            self._finish(first)
        while self.open and not self._late():
            self._go_on()

    def _finish(self, at: int) -> None:
        """Packs and walks an open skeleton at once."""
        _, number, drafted = self.open[at]
        assert isinstance(drafted, Drafted), "nothing is packed yet"
        packed, tally = self.screen.pack(drafted)
        self.tally.add(tally)
        if packed is None or self._walk(packed):
            del self.open[at]
        else:
            self.open[at] = (packed.bound, number, packed)
        heapq.heapify(self.open)

    def _go_on(self) -> None:
        """Packs or walks the first open skeleton; what is interrupted stays open."""
        bound, number, skeleton = self.open[0]
        if self.screen.hopeless(*bound):
            self.tally.bounded += skeleton.combinations
        elif isinstance(skeleton, Packed):
            if not self._walk(skeleton):
                return
        else:
            packed, tally = self.screen.pack(skeleton)
            self.tally.add(tally)
            if packed is not None:
                heapq.heapreplace(self.open, (packed.bound, number, packed))
                return
        heapq.heappop(self.open)

    def _late(self) -> bool:
        late = time.perf_counter() - self.started > self.budget_s
        return late and self.winner is not None

    def _walk(self, packed: Packed) -> bool:
        """Searches a skeleton; False where time ran out before its end."""
        import numpy as np

        from inferstack.schedule.nests.kernel import explore

        machine = (
            packed.level_of, packed.bits, self.screen.caps, self.screen.limits, self.screen.fill
        )  # fmt: skip
        rows = len(packed.blocks[0])
        step = max(SMALLEST_SLICE, min(LARGEST_SLICE, SLICE * rows // packed.combinations))
        for first in range(packed.begun, rows, step):
            found, counts = self.best.copy(), np.zeros(3, dtype=np.int64)
            explore(
                self.screen.kind, first, min(first + step, rows), packed.start, packed.terms,
                packed.tiles, packed.sides, packed.forms.sparse, packed.forms.constants, machine,
                found, self.most_cycles, counts,
            )  # fmt: skip
            self.counts = [old + int(new) for old, new in zip(self.counts, counts, strict=True)]
            packed.begun = min(first + step, rows)
            if (found[0], found[1]) < (self.best[0], self.best[1]):
                self.winner = (self.planner, packed, found)
                self.best[:] = found
            if first + step < rows and self._late():
                return False
        return True

    def _found(self) -> Scheduled:
        assert self.winner is not None, "there is a best"
        planner, packed, best = self.winner
        steps: dict[str, tuple[int, ...]] = {}
        for number, block in enumerate(packed.blocks):
            row = int(best[3 + number]) - int(packed.start[number])
            for dim, chain in zip(block.dims, block.rows, strict=True):
                steps[dim] = tuple(chain[row].tolist())
        steps = {dim: steps[dim] for dim in planner.extents}
        mapping = mapping_of(planner, packed.skeleton, steps)
        figures = cost(mapping, self.contraction, self.accelerator)
        value = figures.value(self.objective)
        # The search may count too much for a nest that is not canonical, and then a better one is.
        assert value <= best[0] * (1 + 1e-6), "the search counts as the model"
        if all(self.screen.hopeless(*bound) for bound, _, _ in self.open):
            self.tally.bounded += sum(left.combinations for _, _, left in self.open)
            self.open = []
        bound = min([value, *(bound for (bound, _), _, _ in self.open)])
        return Scheduled(
            contraction=self.contraction,
            accelerator=self.accelerator,
            mapping=mapping,
            cost=figures,
            certificate=self._proof(bound, optimal=not self.open),
            interrupted=self.interrupted,
        )

    def _proof(self, bound: float, *, optimal: bool) -> Certificate:
        size = space_size(self.contraction, self.accelerator, self.perfect)
        tally = self.tally
        evaluated, bounded, misfits = self.counts
        left = size - evaluated - bounded - misfits - tally.misfits - tally.bounded
        return Certificate(
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

    def _overfull(self) -> Infeasible | None:
        """A level that what starts or ends there does not fit, whatever the mapping."""
        for level in self.accelerator.levels:
            room = usable_bytes(level, self.contraction)
            if room is None or level.usable_bytes is None or room >= 0:
                continue
            here = [o.slot for o in self.contraction.operands if o.origin == level.name]
            return Infeasible(
                resource=f"{level.name} of {self.accelerator.name}, where {' and '.join(here)} of "
                f"{self.contraction.name} stay",
                demand=level.usable_bytes - room,
                limit=level.usable_bytes,
                unit="bytes",
                levers=(f"a larger {level.name}",),
            )
        return None

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
            room = usable_bytes(level, self.contraction)
            assert room is not None, "memories on the chip are bounded"
            # What starts or ends there takes its room first.
            limit, demand = max(room, 0), sum(needed.values())
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
        assert isinstance(fastest, Scheduled), "the smallest tiles fit"
        return Infeasible(
            resource=f"latency of {self.contraction.name} on {self.accelerator.name}",
            demand=fastest.cost.cycles,
            limit=int(self.most_cycles),
            unit="cycles",
            levers=(f"at least {fastest.cost.cycles} cycles", "a larger array, or wider ports"),
        )


def space_text(perfect: bool) -> str:
    """The space in words."""
    steps = "that divide" if perfect else "nested in each other, last tiles smaller"
    return (
        "every operand in its innermost level and any levels between, stores in any order, every "
        f"dimension in every segment with any steps {steps}, any extents along the axes allowed"
    )
