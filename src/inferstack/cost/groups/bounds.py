"""What no schedule of a group can go below: the array's work, and DRAM traffic that must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inferstack.core.units import ceil_div
from inferstack.cost.figures import port_cycles
from inferstack.cost.groups.setting import Setting
from inferstack.cost.groups.walk import walk
from inferstack.cost.programs.group import Unit, unit_of
from inferstack.cost.units import host_cycles, on_host, unit_work
from inferstack.hardware.accelerator import Control
from inferstack.mapping.group import WHOLE
from inferstack.mapping.kernels import Kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Lower bounds of a group. dram_bytes: every tensor from outside or to the outside once.

    work_cycles: MACs at the array's peak, and the units' work. energy_pj: of the MACs, the units
    and those bytes.
    """

    macs: int
    work_cycles: int
    dram_cycles: int
    energy_pj: float
    dram_bytes: int

    @property
    def cycles(self) -> int:
        """Latency."""
        return max(self.work_cycles, self.dram_cycles)


def floor(setting: Setting, kernels: Sequence[Kernel]) -> Floor:
    """The lower bounds of a group."""
    accelerator = setting.accelerator
    dram, array = accelerator.levels[0], accelerator.array
    read, written = compulsory_bytes(setting, kernels)
    macs = sum(kernel.contraction.macs for kernel in kernels if kernel.contraction is not None)
    peak = accelerator.peak_macs_per_cycle
    works = [unit_work(kernel, kernel.space.extents, accelerator) for kernel in kernels]
    # What goes element by element is computed beside the array's work.
    alone = sum(
        work.cycles
        for kernel, work in zip(kernels, works, strict=True)
        if kernel.whole_rows or on_host(kernel, accelerator)
    )
    work = ceil_div(macs, peak) + alone
    if accelerator.control is Control.PROGRAMS:
        # The units work behind the array, on the tile before; the host does all else.
        hosted = [k for k in kernels if unit_of(k, accelerator) is Unit.HOST]
        alone = sum(host_cycles(k.kind, k.space.points, accelerator) for k in hosted) or alone
        work = max(ceil_div(macs, peak), alone)
    return Floor(
        macs=macs,
        work_cycles=work,
        dram_cycles=max(port_cycles(dram, read, written).values()),
        energy_pj=macs * array.mac_pj
        + sum(work.energy_pj for work in works)
        + read * dram.read_pj_per_byte
        + written * dram.write_pj_per_byte,
        dram_bytes=read + written,
    )


def compulsory_bytes(setting: Setting, kernels: Sequence[Kernel]) -> tuple[int, int]:
    """(read, written): every tensor from outside, and every one that somebody outside reads."""
    graph = setting.graph
    whole = walk(kernels, graph.shapes, WHOLE)
    assert whole is not None, "every group has a tile of everything"
    made = {kernel.writes.tensor for kernel in kernels if not kernel.appends}
    names = {kernel.name for kernel in kernels}
    sizes: dict[str, int] = {}
    written = 0
    for kernel in kernels:
        for port in kernel.reads:
            if port.tensor not in made:
                size = whole.size_bytes(kernel, port)
                sizes[port.tensor] = max(size, sizes.get(port.tensor, 0))
        tensor = kernel.writes.tensor
        readers = graph.readers(tensor)
        outside = [n for n in readers if graph.kernels[n].name not in names]
        if outside or not readers or tensor in graph.outputs or kernel.appends:
            written += whole.size_bytes(kernel, kernel.writes)
    return sum(sizes.values()), written
