"""The cost of a fused group under a tile: what stays on the chip, what is loaded once, how often.

    for each entry of the batch, for each head, for each tile of rows:
      for each kernel of the group: make its chunk; its readers in the group find it on the chip

Tensors between kernels of the group reach DRAM only if somebody outside reads them too. A tensor
from outside that stays the same for several tiles, or that several kernels read, may be pinned:
loaded once for all of them. An operator that goes element by element is computed on the way out of
the kernel in front of it. The array follows the best schedule of each chunk, found by the search
over general nests with the operands' origins as they are.

Latency: kernels take turns, and the DRAM works beside all of them; the longer of the two sums, and
the array's fill for every run of a contraction.
Energy and bytes are exact sums of what moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inferstack.cost.groups.evaluation import Evaluation, Pass
from inferstack.cost.groups.layout import layout
from inferstack.cost.groups.setting import KernelPlan, Setting, Sums
from inferstack.cost.groups.walk import walk
from inferstack.cost.scheduled import Scheduled
from inferstack.cost.units import on_host
from inferstack.hardware.accelerator import Level
from inferstack.mapping.group import Tile
from inferstack.mapping.kernels import Kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCost:
    """What a group costs in one pass of the model, without its repeats.

    level: where tensors stay; None where none do. schedules: of every distinct chunk of its
    contractions. cycles: latency. work_cycles, dram_cycles: of everything but the DRAM, and of the
    DRAM beside it. bound_by: what takes longest. kept_bytes: the most that stays in `level` at
    once, pinned tensors included.
    """

    kernels: tuple[str, ...]
    tile: Tile
    level: str | None
    pinned: tuple[str, ...]
    plans: tuple[KernelPlan, ...]
    schedules: tuple[Scheduled, ...]
    cycles: int
    work_cycles: int
    dram_cycles: int
    bound_by: str
    energy_pj: float
    dram_bytes: int
    macs: int
    kept_bytes: int


def fusible(setting: Setting, kernels: Sequence[Kernel]) -> bool:
    """Whether kernels may share tiles at all: one number of repeats, nothing on the host."""
    return len({kernel.repeats for kernel in kernels}) == 1 and not any(
        on_host(kernel, setting.accelerator) for kernel in kernels
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TiledGroup:
    """A group under a tile: its passes, the second one over a last tile of fewer rows."""

    kernels: tuple[Kernel, ...]
    tile: Tile
    passes: tuple[Pass, ...]

    @property
    def pinnable(self) -> tuple[str, ...]:
        """Tensors that it may pay to pin, the smallest first."""
        return self.passes[0].layout.pinnable

    @property
    def keeps_results(self) -> bool:
        """Whether a result stays on the chip for another kernel."""
        return any(self.passes[0].layout.stays)

    def is_connected(self, pinned: frozenset[str]) -> bool:
        """Whether its kernels share results or pinned tensors."""
        return self.passes[0].layout.is_connected(pinned)

    def fits(self, level: Level, pinned: frozenset[str]) -> bool:
        """Whether the level can keep what the group keeps."""
        limit = level.usable_bytes
        return limit is None or all(p.layout.most_bytes(pinned) <= limit for p in self.passes)


def tiled_group(setting: Setting, kernels: Sequence[Kernel], tile: Tile) -> TiledGroup | None:
    """A group under a tile; None where it has no such tile."""
    graph = setting.graph
    full = walk(kernels, graph.shapes, tile)
    if full is None:
        return None
    passes = [Pass(layout=layout(graph, kernels, full), rows=full.trips.rows, first=True)]
    if full.trips.last:
        rest = walk(kernels, graph.shapes, replace(tile, rows=full.trips.last))
        if rest is None:
            return None
        # What does not change with the rows was made with the full tiles.
        last = replace(rest, trips=full.trips, all_rows=full.all_rows)
        passes.append(Pass(layout=layout(graph, kernels, last), rows=1, first=False))
    return TiledGroup(kernels=tuple(kernels), tile=tile, passes=tuple(passes))


def group_cost(
    setting: Setting, group: TiledGroup, level: Level, pinned: frozenset[str]
) -> GroupCost | None:
    """The cost of a group whose results stay in `level`; None where it does not fit."""
    sums, plans = Sums(setting.accelerator), list[KernelPlan]()
    for one in group.passes:
        found = Evaluation(setting, one, level, pinned, sums).run()
        if found is None:
            return None
        plans += found
    schedules = {
        plan.scheduled.contraction.signature: plan.scheduled
        for plan in plans
        if plan.scheduled is not None
    }
    return GroupCost(
        kernels=tuple(kernel.name for kernel in group.kernels),
        tile=group.tile,
        level=level.name,
        pinned=tuple(sorted(pinned)),
        plans=tuple(plans[: len(group.kernels)]),
        schedules=tuple(schedules.values()),
        cycles=max(sums.work_cycles, sums.dram_cycles) + sums.fill_cycles,
        work_cycles=sums.work_cycles,
        dram_cycles=sums.dram_cycles,
        bound_by=sums.bound_by,
        energy_pj=sums.energy_pj,
        dram_bytes=sum(sums.dram_bytes),
        macs=sums.macs,
        kept_bytes=max(one.layout.most_bytes(pinned) for one in group.passes),
    )
