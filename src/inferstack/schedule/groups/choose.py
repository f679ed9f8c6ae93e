"""Which neighbours to fuse: the best partition of a graph into groups, with its proof.

The space: every way to cut the kernels, in execution order, into groups of neighbours; for each
group of more than one kernel every tile (all rows, or halves of them down to one block of the
array; all heads or one at a time), every level that can hand results on, and every set of pinned
tensors by which, or by whose results, the kernels are connected. Where whole rows of scores have no
room, softmax goes by its running maximum, over the most columns that have. A group of one kernel is
the kernel unfused, so that fusion never loses. The array's schedule of a chunk is the proven
optimum of the chunk for the objective.

For sums (latency, energy, bytes) the best partition follows from the best value of each group.
Energy times delay is no sum, and takes the front of (latency, energy) of each prefix: of two
prefixes the one that is worse in both can be part of no optimum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from inferstack.core.infeasible import Infeasible
from inferstack.core.progress import Progress, silent
from inferstack.core.units import ceil_div
from inferstack.cost.groups.bounds import floor
from inferstack.cost.groups.columns import columns_of_attention
from inferstack.cost.groups.group import (
    GroupCost,
    TiledGroup,
    fusible,
    group_cost,
    tiled_group,
)
from inferstack.cost.groups.setting import Setting
from inferstack.cost.groups.tiles import heads_of, rows_of, sinks
from inferstack.cost.units import on_host
from inferstack.hardware.accelerator import Level
from inferstack.mapping.group import WHOLE, Tile
from inferstack.mapping.kernels import Kernel

LEAST_COLUMNS = 16
"""Columns of scores of one turn of a running maximum, at least."""
MOST_PINNED = 4
"""Tensors among which every set is tried; the largest are left out beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionProof:
    """What the choice has looked at.

    groups: runs of neighbours. options: their tiles, levels and sets of pinned tensors. evaluated,
    misfits, pruned_by_bound: how many of them were costed, do not fit, or cannot pay because what
    they must move costs as much as the best without them. partitions: ways to cut, all covered;
    0 where chains were chosen one by one (programs).
    """

    objective: str
    groups: int
    options: int
    evaluated: int
    misfits: int
    pruned_by_bound: int
    partitions: int

    def text(self) -> str:
        """One readable line."""
        if not self.groups:
            return f"proven optimal for {self.objective}, every operator on its own"
        if not self.partitions:
            return (
                f"proven optimal for {self.objective} chain by chain: {self.groups:,} distinct "
                f"chains behind a contraction, {self.options:,} ways to fuse them, each with its "
                "best tiles"
            )
        return (
            f"proven optimal for {self.objective} over {self.partitions:,} partitions: "
            f"{self.groups:,} groups in {self.options:,} ways, of which {self.misfits:,} do not "
            f"fit, {self.pruned_by_bound:,} cannot be better, {self.evaluated:,} costed"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """The best partition, and what each kernel costs on its own."""

    groups: tuple[GroupCost, ...]
    unfused: tuple[GroupCost, ...]
    proof: FusionProof


@dataclass(frozen=True, slots=True)
class _Prefix:
    """A partition of the first kernels: repeats included."""

    cycles: int
    energy_pj: float
    dram_bytes: int
    groups: tuple[GroupCost, ...]

    def value(self, objective: str) -> float:
        """The figure that is minimized."""
        return {
            "latency": float(self.cycles),
            "energy": self.energy_pj,
            "edp": self.cycles * self.energy_pj,
            "dram_bytes": float(self.dram_bytes),
        }[objective]

    def with_group(self, group: GroupCost, repeats: int) -> _Prefix:
        """One group more."""
        return _Prefix(
            self.cycles + repeats * group.cycles,
            self.energy_pj + repeats * group.energy_pj,
            self.dram_bytes + repeats * group.dram_bytes,
            (*self.groups, group),
        )


def choose(
    setting: Setting, objective: str, *, fuse: bool = True, progress: Progress = silent
) -> Fusion | Infeasible:
    """The best partition. fuse False: each kernel on its own."""
    chooser = _Chooser(setting, objective)
    kernels = setting.graph.kernels
    for kernel in kernels:
        # What nothing can compute is found before the long work.
        on_host(kernel, setting.accelerator)
    unfused: list[GroupCost] = []
    for number, kernel in enumerate(kernels):
        progress("mapping operators", number, len(kernels))
        alone = chooser.alone(kernel)
        if isinstance(alone, Infeasible):
            return alone
        unfused.append(alone)
    best: list[list[_Prefix]] = [[_Prefix(0, 0.0, 0, ())]]
    for end in range(1, len(kernels) + 1):
        progress("fusing", end, len(kernels))
        made = [
            prefix.with_group(unfused[end - 1], kernels[end - 1].repeats)
            for prefix in best[end - 1]
        ]
        for start in range(end - 2, -1, -1) if fuse else ():
            group = kernels[start:end]
            if not fusible(setting, group):
                break
            ways, room = chooser.fused(group, unfused[start:end])
            for one in ways:
                made += [prefix.with_group(one, group[0].repeats) for prefix in best[start]]
            if not room and heads_of(kernels[:start]) in (None, heads_of(group)):
                # Kernels further in front only add to what must be kept, under the same tiles.
                break
        best.append(_kept(made, objective))
    final = min(best[-1], key=lambda prefix: prefix.value(objective))
    return Fusion(
        groups=final.groups,
        unfused=tuple(unfused),
        proof=FusionProof(
            objective=objective,
            groups=chooser.groups,
            options=chooser.options,
            evaluated=chooser.evaluated,
            misfits=chooser.misfits,
            pruned_by_bound=chooser.pruned,
            partitions=2 ** (len(kernels) - 1) if fuse else 1,
        ),
    )


def _kept(prefixes: list[_Prefix], objective: str) -> list[_Prefix]:
    """The prefixes that can be part of an optimum; of equals the one that was made first."""
    if objective != "edp":
        return [min(prefixes, key=lambda prefix: prefix.value(objective))]
    front: list[_Prefix] = []
    for prefix in sorted(prefixes, key=lambda p: (p.cycles, p.energy_pj)):
        if not front or prefix.energy_pj < front[-1].energy_pj:
            front.append(prefix)
    return front


Way = tuple[Level, frozenset[str]]
"""Where results stay, and what is pinned there."""


class _Chooser:
    """Costs the ways to run a group, and counts them."""

    def __init__(self, setting: Setting, objective: str) -> None:
        self.setting, self.objective = setting, objective
        self.groups = self.options = self.evaluated = self.misfits = self.pruned = 0

    def alone(self, kernel: Kernel) -> GroupCost | Infeasible:
        """A kernel unfused."""
        group = tiled_group(self.setting, (kernel,), WHOLE)
        assert group is not None, "every group has a tile of everything"
        level = self.setting.accelerator.levels[1]
        found = group_cost(self.setting, group, level, frozenset())
        return found if found is not None else _misfit(self.setting, kernel)

    def fused(
        self, kernels: Sequence[Kernel], unfused: Sequence[GroupCost]
    ) -> tuple[list[GroupCost], bool]:
        """The ways to run a group that may be part of an optimum, and whether any has room."""
        self.groups += 1
        found: list[GroupCost] = []
        room = False
        hopeless = self._hopeless(kernels, unfused)
        for tile in _tiles(self.setting, kernels):
            group = tiled_group(self.setting, kernels, tile)
            if group is None:
                continue
            ways = list(self._ways(group))
            if not any(group.fits(level, pinned) for level, pinned in ways):
                group, ways = self._by_columns(group, ways)
            for level, pinned in ways:
                self.options += 1
                fits = group.fits(level, pinned)
                room |= fits
                if not fits:
                    self.misfits += 1
                elif hopeless:
                    self.pruned += 1
                else:
                    found += self._costed(group, level, pinned)
        return self._best(found), room

    def _by_columns(self, group: TiledGroup, ways: list[Way]) -> tuple[TiledGroup, list[Way]]:
        """The group with softmax by its running maximum, over the most columns that there is room
        for; the group itself where that does not help.
        """
        for step in _halves(columns_of_attention(group.kernels)):
            tile = replace(group.tile, columns=step)
            narrowed = tiled_group(self.setting, group.kernels, tile)
            if narrowed is None:
                continue
            found = list(self._ways(narrowed))
            if any(narrowed.fits(level, pinned) for level, pinned in found):
                return narrowed, found
        return group, ways

    def _ways(self, group: TiledGroup) -> Iterator[Way]:
        """Levels and pinned tensors."""
        levels = self.setting.keeping_levels(group.kernels)
        pins = group.pinnable[:MOST_PINNED]
        if not levels and not group.keeps_results:
            # All of it is computed on the way out: the level has no part in it.
            levels, pins = [self.setting.accelerator.levels[1]], ()
        for count in range(len(pins) + 1):
            for pinned in combinations(pins, count):
                if group.is_connected(frozenset(pinned)):
                    yield from ((level, frozenset(pinned)) for level in levels)

    def _costed(self, group: TiledGroup, level: Level, pinned: frozenset[str]) -> list[GroupCost]:
        cost = group_cost(self.setting, group, level, pinned)
        if cost is None:
            self.misfits += 1
            return []
        self.evaluated += 1
        return [cost]

    def _best(self, found: list[GroupCost]) -> list[GroupCost]:
        if not found:
            return []
        alone = _Prefix(0, 0.0, 0, ())
        kept = _kept([alone.with_group(one, 1) for one in found], self.objective)
        return [prefix.groups[0] for prefix in kept]

    def _hopeless(self, kernels: Sequence[Kernel], unfused: Sequence[GroupCost]) -> bool:
        """Whether no way to run the group can beat its kernels on their own."""
        least = floor(self.setting, kernels)
        limit = _Prefix(0, 0.0, 0, ())
        for one in unfused:
            limit = limit.with_group(one, 1)
        if self.objective == "edp":
            return least.cycles >= limit.cycles and least.energy_pj >= limit.energy_pj
        bound = _Prefix(least.cycles, least.energy_pj, least.dram_bytes, ())
        return bound.value(self.objective) >= limit.value(self.objective)


def _tiles(setting: Setting, kernels: Sequence[Kernel]) -> list[Tile]:
    """All rows, and halves of them down to a block of the array; all heads, and one at a time."""
    rows = max(rows_of(kernel, setting.graph.shapes) for kernel in sinks(kernels))
    array = setting.accelerator.array
    least = min(rows, max(array.rows, array.columns))
    steps: list[int | None] = [None]
    step = rows
    while step > least:
        step = max(least, ceil_div(step, 2))
        steps.append(step)
    by_head = (False, True) if heads_of(kernels) is not None else (False,)
    return [Tile(rows=step, by_head=one) for one in by_head for step in steps]


def _halves(extent: int) -> Iterator[int]:
    """Halves of it, while they are whole and not too few."""
    while extent % 2 == 0 and extent > LEAST_COLUMNS:
        extent //= 2
        yield extent


def _misfit(setting: Setting, kernel: Kernel) -> Infeasible:
    """Why not even a kernel alone fits."""
    level = setting.unit_level
    assert not on_host(kernel, setting.accelerator), "the host has room for everything"
    if kernel.contraction is not None:
        found = setting.inner(kernel.contraction, setting.accelerator)
        assert isinstance(found, Infeasible), "a contraction that fits is costed"
        return found
    columns = setting.graph.shapes[kernel.writes.tensor][-1]
    demand = columns * level.partial_sum_bits // 8
    return Infeasible(
        resource=f"{level.name} of {setting.accelerator.name}, a row of {kernel.name}",
        demand=demand,
        limit=level.usable_bytes or demand,
        unit="bytes",
        levers=(f"a larger {level.name}",),
    )
