"""What runs between two fences on a machine that runs programs: a chain, or one kernel alone."""

from __future__ import annotations

import math
from enum import StrEnum

from inferstack.core.infeasible import Infeasible
from inferstack.cost.figures import port_cycles
from inferstack.cost.groups.group import GroupCost
from inferstack.cost.groups.setting import KernelPlan
from inferstack.cost.programs.vector import vector_cost, vector_operator
from inferstack.cost.scheduled import Scheduled
from inferstack.cost.units import host_cycles
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.epilogue import PRODUCT, VECTOR_KINDS
from inferstack.mapping.group import WHOLE
from inferstack.mapping.kernels import Kernel, KernelGraph


class Unit(StrEnum):
    """Where a kernel runs."""

    ARRAY = "array"
    UNITS = "units"
    HOST = "host"


def unit_of(kernel: Kernel, accelerator: Accelerator) -> Unit:
    """Programs have instructions for contractions and for `VECTOR_KINDS`; the host does the rest.

    Source: the instruction set of `simulate.isa`.
    """
    if kernel.contraction is not None:
        return Unit.ARRAY
    vector = kernel.kind in VECTOR_KINDS and accelerator.supports(kernel.kind)
    if kernel.kind == PRODUCT:
        # Nothing is loaded again along an axis that it does not have.
        vector &= all(port.access.dims == kernel.writes.access.dims for port in kernel.reads)
    return Unit.UNITS if vector and kernel.integer else Unit.HOST


def chain_cost(kernels: tuple[str, ...], scheduled: Scheduled) -> GroupCost:
    """A contraction with what is fused to it, as its schedule costs. kernels: their names."""
    cost = scheduled.cost
    outermost = scheduled.accelerator.levels[0]
    dram = max(port_cycles(outermost, cost.dram_read_bytes, cost.dram_written_bytes).values())
    plans = tuple(
        KernelPlan(
            kernel=name,
            chunk=scheduled.contraction.extents,
            runs=1,
            inline=number > 0,
            scheduled=scheduled if number == 0 else None,
        )
        for number, name in enumerate(kernels)
    )
    return GroupCost(
        kernels=kernels,
        tile=WHOLE,
        level=None,
        pinned=(),
        plans=plans,
        schedules=(scheduled,),
        cycles=cost.cycles,
        work_cycles=cost.cycles,
        dram_cycles=dram,
        bound_by=cost.bound_by,
        energy_pj=cost.energy_pj,
        dram_bytes=cost.dram_bytes,
        macs=cost.macs,
        kept_bytes=0,
    )


def alone_cost(
    graph: KernelGraph, kernel: Kernel, accelerator: Accelerator
) -> GroupCost | Infeasible:
    """A kernel of the units, or of the host. Infeasible where a row does not fit."""
    if unit_of(kernel, accelerator) is Unit.HOST:
        return _on_host(graph, kernel, accelerator)
    found = vector_cost(vector_operator(graph, kernel), accelerator)
    if isinstance(found, Infeasible):
        return found
    dram = math.ceil(found.dram_bytes / accelerator.dma.bus_bytes)
    return _alone(kernel, found.cycles, dram, found.energy_pj, found.dram_bytes, Unit.UNITS)


def _on_host(graph: KernelGraph, kernel: Kernel, accelerator: Accelerator) -> GroupCost:
    """Nothing stays on the chip between two operators of the host; of a table no more elements are
    read than points that gather. The cycles per element include those of its memory traffic."""
    points, dram = kernel.space.points, accelerator.levels[0]
    sizes = {port.tensor: port.bits for port in kernel.reads}
    read = kernel.small_bytes + sum(
        -(-min(math.prod(graph.shapes[tensor]), points) * bits // 8)
        for tensor, bits in sizes.items()
    )
    written = -(-math.prod(graph.shapes[kernel.writes.tensor]) * kernel.writes.bits // 8)
    if kernel.appends:
        # What is new of a longer tensor.
        written = -(-points * kernel.writes.bits // 8)
    cycles = host_cycles(kernel.kind, points, accelerator)
    energy = cycles * accelerator.host.pj_per_cycle
    energy += read * dram.read_pj_per_byte + written * dram.write_pj_per_byte
    ports = max(port_cycles(dram, read, written).values())
    return _alone(kernel, cycles, ports, energy, read + written, Unit.HOST)


def _alone(
    kernel: Kernel, cycles: int, dram_cycles: int, energy_pj: float, dram_bytes: int, unit: Unit
) -> GroupCost:
    plan = KernelPlan(
        kernel=kernel.name, chunk=kernel.space.extents, runs=1, inline=False, scheduled=None
    )
    return GroupCost(
        kernels=(kernel.name,),
        tile=WHOLE,
        level=None,
        pinned=(),
        plans=(plan,),
        schedules=(),
        cycles=cycles,
        work_cycles=cycles,
        dram_cycles=dram_cycles,
        bound_by=unit.value,
        energy_pj=energy_pj,
        dram_bytes=dram_bytes,
        macs=0,
        kept_bytes=0,
    )
