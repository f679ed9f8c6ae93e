"""What can be left out of a skeleton's candidates before they are combined, given the best so far.

A candidate stays where it fits with the smallest tiles of all other blocks, and where its bound,
with the least of every figure of theirs, is not over the best. What stays is combined: dimensions
that overlap, then dimensions that move the same operands; small sets lose their dominated members.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from inferstack.cost.figures import OBJECTIVES
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.mapping.legality import usable_bytes
from inferstack.schedule.nests.blocks import Planner, together, undominated
from inferstack.schedule.nests.candidates import Candidates, Draft
from inferstack.schedule.nests.forms import Forms
from inferstack.schedule.nests.skeleton import Skeleton, residency_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Floats = npt.NDArray[np.float64]

SLACK = 1e-12
ROUNDS = 3
LARGEST_COMBINED = 300_000
"""Blocks that move the same operands are combined up to so many candidates."""
LARGEST_SORTED_OUT = 400_000
LARGEST_PAIR_SORTED_OUT = 8_000
"""Sets up to these sizes lose their dominated members. Comparing takes time with what is left: of
dimensions that overlap, made of halves that are sorted out, most."""


@dataclass
class Tally:
    """Combinations of one skeleton that were left out, and why."""

    misfits: int = 0
    bounded: int = 0
    dominated: int = 0

    def add(self, other: Tally) -> None:
        """Of several skeletons."""
        self.misfits += other.misfits
        self.bounded += other.bounded
        self.dominated += other.dominated


@dataclass(frozen=True, kw_only=True)
class Drafted:
    """One skeleton, before anything is left out. bound: no combination is better (figure, tie)."""

    skeleton: Skeleton
    forms: Forms
    levels: tuple[tuple[int, ...], ...]
    stores: tuple[tuple[int, int], ...]
    groups: list[list[Draft]]
    combinations: int
    bound: tuple[float, float]


@dataclass(kw_only=True)
class Packed:
    """One skeleton, as arrays for the kernel; of each block, candidates by their bound.

    begun: candidates of the first block that have been walked.
    """

    skeleton: Skeleton
    blocks: list[Candidates]
    start: Array
    terms: Array
    tiles: Array
    sides: Array
    forms: Forms
    level_of: Array
    bits: Array
    bound: tuple[float, float]
    begun: int = 0

    @property
    def combinations(self) -> int:
        """What is left."""
        rest = math.prod(len(block) for block in self.blocks[1:])
        return (len(self.blocks[0]) - self.begun) * rest


class Screen:
    """Bounds and capacities of one search."""

    def __init__(
        self,
        planner: Planner,
        objective: str,
        most_cycles: float,
        best: Floats,
    ) -> None:
        import numpy as np

        self.planner, self.objective, self.most_cycles = planner, objective, most_cycles
        self.best = best
        accelerator: Accelerator = planner.accelerator
        self.fill = float(accelerator.array.fill_cycles)
        self.limits = np.array(planner.frame.limits, dtype=np.float64)
        self.caps = np.array(
            [
                np.inf if room is None else room
                for level in accelerator.levels
                for room in [usable_bytes(level, planner.contraction)]
            ],
            dtype=np.float64,
        )
        self.kind = OBJECTIVES.index(objective)
        self.twins = planner.twins

    def draft(self, skeleton: Skeleton, known: Forms) -> Drafted:
        """All candidates of a skeleton, and a bound of what can be made of them."""
        import numpy as np

        levels = residency_of(skeleton, len(self.planner.contraction.operands))
        stores = tuple((o, place) for o, own in enumerate(levels) for place in range(len(own)))
        groups = self.planner.halves(skeleton, known.terms, stores)
        # Of two that hold each other's share, one stands for both.
        least = np.prod([group[0].least for group in groups], axis=0)
        value, tie, _ = self.goals(known, least[None, :])
        return Drafted(
            skeleton=skeleton,
            forms=known,
            levels=levels,
            stores=stores,
            groups=groups,
            combinations=math.prod(len(half) for group in groups for half in group),
            bound=(float(value[0]), float(tie[0])),
        )

    def pack(self, drafted: Drafted) -> tuple[Packed | None, Tally]:
        """The candidates that are left; None where some block has none."""
        import numpy as np

        operands, skeleton = self.planner.contraction.operands, drafted.skeleton
        known, stores, groups = drafted.forms, drafted.stores, drafted.groups
        widths = []
        for operand, place in stores:
            of = operands[operand]
            level = self.planner.accelerator.levels[drafted.levels[operand][place]]
            widths.append(level.partial_sum_bits if of.role is Role.OUTPUT else of.bits)
        level_of = np.array([drafted.levels[o][p] for o, p in stores], dtype=np.int64)
        bits = np.array(widths, dtype=np.float64)
        sieve = _Sieve(self, known, level_of, bits)
        kept, sizes = self._made(groups), [len(group) for group in groups]
        for _ in range(ROUNDS):
            before = math.prod(len(half) for half in kept)
            sifted = sieve.sift(kept, sizes)
            if sifted is None:
                return None, sieve.tally
            kept = sifted
            if math.prod(len(half) for half in kept) > before // 2:
                break
        kept = sieve.mirrored(kept, sizes)
        if self.planner.frame.fan_axes or self.planner.every:
            # Beside instances, and in strides, all multiples are kept, and few of them matter.
            kept = sieve.sorted_out(kept)
        found = sieve.combine(self._crossed(skeleton, kept, sizes, known, stores))
        if found is None:
            return None, sieve.tally
        return self._packed(skeleton, known, level_of, bits, found), sieve.tally

    def _made(self, groups: list[list[Draft]]) -> list[Candidates]:
        """The candidates of each dimension; twins share their figures."""
        made = list[list[Candidates]]()
        for number, group in enumerate(groups):
            twin = self.twins.get(number)
            if twin is None:
                made.append([half.made() for half in group])
            else:
                pairs = zip(made[twin], group, strict=True)
                made.append([replace(first, dims=half.dims) for first, half in pairs])
        return [half for own in made for half in own]

    def _crossed(
        self,
        skeleton: Skeleton,
        kept: list[Candidates],
        sizes: list[int],
        known: Forms,
        stores: tuple[tuple[int, int], ...],
    ) -> list[Candidates]:
        """One block for each group; twins with the same candidates share the work."""
        blocks, at = list[Candidates](), 0
        members = list[list[Candidates]]()
        for number, size in enumerate(sizes):
            own = kept[at : at + size]
            at += size
            members.append(own)
            twin = self.twins.get(number)
            if size == 1:
                blocks.append(own[0])
            elif twin is not None and all(
                a.terms is b.terms for a, b in zip(own, members[twin], strict=True)
            ):
                dims = own[0].dims + own[1].dims
                blocks.append(replace(blocks[twin], dims=dims))
            else:
                made = self.planner.crossed(skeleton, own[0], own[1], known.terms, stores)
                blocks.append(made)
        return blocks

    def _packed(
        self,
        skeleton: Skeleton,
        known: Forms,
        level_of: Array,
        bits: Array,
        blocks: list[Candidates],
    ) -> Packed:
        import numpy as np

        blocks.sort(key=len, reverse=True)
        lows = [block.terms.min(axis=0) for block in blocks]
        worst = (0.0, 0.0)
        for number, block in enumerate(blocks):
            rest = np.prod([low for i, low in enumerate(lows) if i != number], axis=0)
            value, tie, _ = self.goals(known, block.terms * rest)
            order = np.lexsort((tie, value))
            worst = max(worst, (float(value[order[0]]), float(tie[order[0]])))
            blocks[number] = block.rows_at(order)
        return Packed(
            skeleton=skeleton,
            blocks=blocks,
            start=np.cumsum([0, *map(len, blocks)]),
            terms=np.concatenate([block.terms for block in blocks]),
            tiles=np.concatenate([block.tiles for block in blocks]),
            sides=np.concatenate([block.sides for block in blocks]),
            forms=known,
            level_of=level_of,
            bits=bits,
            bound=worst,
        )

    def goals(self, known: Forms, terms: Array) -> tuple[Array, Array, Array]:
        """The figure to minimize, what decides between equals, and cycles, as in the kernel."""
        import numpy as np

        figures = terms @ known.factors.T + known.constants
        cycles = np.ceil(figures[:, 2:].max(axis=1) * (1 - SLACK)) + self.fill
        energy, dram = figures[:, 0], figures[:, 1]
        value, tie = {
            "latency": (cycles, energy),
            "energy": (energy, cycles),
            "edp": (energy * cycles, energy),
            "dram_bytes": (dram, energy),
        }[self.objective]
        return value, tie, cycles

    def hopeless(self, value: float, tie: float) -> bool:
        """Whether a bound shows that nothing is better than the best."""
        if value > self.best[0] * (1 + SLACK):
            return True
        return bool(value >= self.best[0] * (1 - SLACK) and tie >= self.best[1] * (1 - SLACK))


def _lows(block: Candidates) -> tuple[Array, Array, Array]:
    """The least of each term, tile and side."""
    from inferstack.schedule.nests.kernel import lowest

    return tuple(lowest(f, 0, len(block)) for f in (block.terms, block.tiles, block.sides))  # type: ignore[return-value]


class _Sieve:
    """Leaves out candidates of one skeleton, and counts why."""

    def __init__(self, screen: Screen, known: Forms, level_of: Array, bits: Array) -> None:
        self.screen, self.known = screen, known
        self.tally = Tally()
        self.machine = (level_of, bits, screen.caps, screen.limits, screen.fill)

    def sift(
        self, found: list[Candidates], sizes: list[int] | None = None
    ) -> list[Candidates] | None:
        """The candidates that stay. sizes: of groups; two of one hold each other's share."""
        import numpy as np

        found = list(found)
        partner: dict[int, int] = {}
        at = 0
        for size in sizes or []:
            if size == 2:
                partner |= {at: at + 1, at + 1: at}
            at += size
        lows = [_lows(block) for block in found]
        for number, block in enumerate(found):
            rest = tuple(np.ones(len(low)) for low in lows[number])
            done = {number, partner.get(number, number)}
            for other, low in enumerate(lows):
                # Of two that hold each other's share, one stands for both.
                if other not in done and partner.get(other, other) >= other:
                    for product, factor in zip(rest, low, strict=True):
                        product *= factor
            others = math.prod(len(b) for b in found) // len(block)
            kept = self._stays(block, (rest[0], rest[1], rest[2]), others)
            if kept is None:
                return None
            if kept is not block:
                found[number], lows[number] = kept, _lows(kept)
        return found

    def mirrored(self, found: list[Candidates], sizes: list[int]) -> list[Candidates]:
        """Twins keep the same candidates: what one cannot use in a better mapping, the other, in
        its mirror image, cannot."""
        found = list(found)
        starts = [sum(sizes[:number]) for number in range(len(sizes))]
        for later, first in self.screen.twins.items():
            for own in range(sizes[first]):
                at, twin = starts[first] + own, starts[later] + own
                small, large = sorted((at, twin), key=lambda i: len(found[i]))
                others = math.prod(len(b) for b in found) // len(found[large])
                self.tally.bounded += (len(found[large]) - len(found[small])) * others
                found[large] = replace(found[small], dims=found[large].dims)
        return found

    def _stays(
        self, block: Candidates, rest: tuple[Array, Array, Array], others: int
    ) -> Candidates | None:
        import numpy as np

        from inferstack.schedule.nests.kernel import sift

        screen = self.screen
        kept = np.empty(len(block), dtype=np.int64)
        found, misfits, over = sift(
            screen.kind, block.terms, block.tiles, block.sides, rest, self.known.sparse,
            self.known.constants, self.machine, screen.best, screen.most_cycles, kept,
        )  # fmt: skip
        self.tally.misfits += misfits * others
        self.tally.bounded += over * others
        if found == 0:
            return None
        return block if found == len(block) else block.rows_at(kept[:found])

    def combine(self, blocks: list[Candidates]) -> list[Candidates] | None:
        """Blocks that move the same operands together, none dominated."""
        left = self.sift(blocks)
        if left is None:
            return None
        by_kind: dict[object, Candidates] = {}
        for block in left:
            kind = self.screen.planner.kind(block.dims)
            key: object = (kind, len(by_kind))
            if kind is not None:
                key = kind
                if key in by_kind and len(by_kind[key]) * len(block) > LARGEST_COMBINED:
                    key = (kind, len(by_kind))
            by_kind[key] = together(by_kind[key], block) if key in by_kind else block
        found = self.sift(list(by_kind.values()))
        if found is None:
            return None
        return self.sorted_out(found, composed=True)

    def sorted_out(self, found: list[Candidates], *, composed: bool = False) -> list[Candidates]:
        """Without dominated members. composed: only of blocks of several dimensions."""
        kept, known = list(found), dict[int, Candidates]()
        for number, block in enumerate(found):
            if len(block.dims) < 2 and composed:
                continue
            overlapping = composed and block.dims in self.screen.planner.groups
            if len(block) > (LARGEST_PAIR_SORTED_OUT if overlapping else LARGEST_SORTED_OUT):
                continue
            # Twins share their figures.
            if id(block.terms) not in known:
                known[id(block.terms)] = undominated(block, self.known.plain)
            kept[number] = replace(known[id(block.terms)], dims=block.dims)
            others = math.prod(len(b) for b in kept) // len(kept[number])
            self.tally.dominated += (len(block) - len(kept[number])) * others
        return kept
