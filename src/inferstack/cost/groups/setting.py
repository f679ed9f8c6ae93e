"""What groups of kernels are costed in: the graph, the machine, and the search for chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, replace

from inferstack.core.infeasible import Infeasible
from inferstack.cost.figures import Cost, port_cycles
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator, Level, Role
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.kernels import Kernel, KernelGraph

Inner = Callable[[Contraction, Accelerator], Scheduled | Infeasible]
"""The search for a chunk's schedule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One graph on one machine."""

    graph: KernelGraph
    accelerator: Accelerator
    inner: Inner

    @property
    def unit_level(self) -> Level:
        """The level that feeds the units behind the array."""
        return self.accelerator.unit_level

    def keeping_levels(self, kernels: Sequence[Kernel]) -> list[Level]:
        """Memories outside of all instances that take results, and hand them on as operands."""
        made = {kernel.writes.tensor for kernel in kernels}
        roles = {Role.INPUT}
        for kernel in kernels:
            if kernel.contraction is not None:
                by_slot = {o.slot: o.role for o in kernel.contraction.operands}
                roles |= {by_slot[p.slot] for p in kernel.reads if p.tensor in made}
        accelerator = self.accelerator
        shared = [accelerator.index(f.below) for f in accelerator.fan_outs[:1]]
        return [
            level
            for level in accelerator.levels[1 : shared[0] + 1 if shared else None]
            if roles <= level.holds
            and (Role.OUTPUT in level.holds or level.name in accelerator.forwards_to)
        ]

    def shrunk(self, level: Level, taken_bytes: int) -> Accelerator:
        """The machine without the bytes of the level that are taken."""
        if taken_bytes == 0 or level.capacity_bytes is None:
            return self.accelerator
        taken = 2 * taken_bytes if level.double_buffered else taken_bytes
        rest = replace(level, capacity_bytes=level.capacity_bytes - taken)
        levels = tuple(rest if v is level else v for v in self.accelerator.levels)
        return replace(self.accelerator, levels=levels)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelPlan:
    """One kernel of a group.

    runs: how often its chunk is made. inline: computed on the way out of the kernel in front.
    scheduled: of a contraction.
    """

    kernel: str
    chunk: Dictionary[str, int]
    runs: int
    inline: bool
    scheduled: Scheduled | None


class Sums:
    """What a group moves and takes, in the making. dram_bytes: read, written.

    cycles_by_unit: in which the array, a port, the units or the host is what the group waits for,
    one after the other. fill_cycles: of the array, on top.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.dram = accelerator.levels[0]
        self.macs = 0
        self.cycles_by_unit: dict[str, int] = {}
        self.fill_cycles = 0
        self.energy_pj = 0.0
        self.dram_bytes = [0, 0]

    def move(self, level: Level, *, read: int = 0, written: int = 0) -> None:
        """Bytes that a level reads and writes."""
        self.energy_pj += read * level.read_pj_per_byte + written * level.write_pj_per_byte
        if level is self.dram:
            self.dram_bytes[0] += read
            self.dram_bytes[1] += written

    def work(self, unit: str, cycles: int) -> None:
        """Cycles in which a unit is what the group waits for."""
        self.cycles_by_unit[unit] = self.cycles_by_unit.get(unit, 0) + cycles

    def run(self, cost: Cost, times: int) -> None:
        """A contraction's schedule, `times` over."""
        self.energy_pj += cost.energy_pj * times
        self.fill_cycles += cost.fill_cycles * times
        self.macs += cost.macs * times
        self.dram_bytes[0] += cost.dram_read_bytes * times
        self.dram_bytes[1] += cost.dram_written_bytes * times

    @property
    def work_cycles(self) -> int:
        """Of everything but the DRAM and the fill."""
        return sum(self.cycles_by_unit.values())

    @property
    def bound_by(self) -> str:
        """What takes longest."""
        if self.dram_cycles > self.work_cycles or not self.cycles_by_unit:
            return "dram"
        return max(self.cycles_by_unit, key=lambda unit: self.cycles_by_unit[unit])

    @property
    def dram_cycles(self) -> int:
        """Of DRAM's ports."""
        return max(port_cycles(self.dram, *self.dram_bytes).values())


def busiest(cost: Cost, dram: Level) -> tuple[int, str]:
    """(cycles, name) of a schedule's busiest part other than the DRAM."""
    ports = set(port_cycles(dram, 0, 0))
    return max((n, unit) for unit, n in cost.busy_cycles.items() if unit not in ports)
