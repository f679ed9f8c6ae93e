"""What an operator outside of the array costs: the unit behind it, or the host."""

from __future__ import annotations

import math
from dataclasses import dataclass

from inferstack.core.errors import InputError
from inferstack.core.units import ceil_div
from inferstack.cost.groups.tiles import Chunk
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.kernels import Kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitWork:
    """Cycles and energy of the unit itself, and how often it reads its first operand."""

    cycles: int
    energy_pj: float
    passes: int


def on_host(kernel: Kernel, accelerator: Accelerator) -> bool:
    """Whether the host computes a kernel. Raises InputError where nothing can."""
    if kernel.contraction is not None or kernel.space.flops_per_point == 0:
        return False
    if accelerator.supports(kernel.kind):
        return False
    if not accelerator.has_host:
        known = accelerator.vector_unit.passes if accelerator.vector_unit else ()
        raise InputError(
            f"operator {kernel.name}",
            f"{accelerator.name} has neither a unit nor a host for it",
            got=kernel.kind,
            need=f"one of {', '.join(sorted(known))}" if known else "a vector unit",
            hint=f"add {kernel.kind} to vector_unit.kinds of the accelerator, or give it a host",
        )
    return True


def host_cycles(kind: str, points: int, accelerator: Accelerator) -> int:
    """Cycles of the host for the elements that an operator walks."""
    host = accelerator.host
    rate = host.cycles_per_element.get(kind, host.default_cycles_per_element)
    return math.ceil(points * rate)


def unit_work(kernel: Kernel, chunk: Chunk, accelerator: Accelerator) -> UnitWork:
    """The work of one chunk. A move without operations takes none."""
    points = math.prod(chunk.values())
    if kernel.space.flops_per_point == 0:
        return UnitWork(cycles=0, energy_pj=0.0, passes=1)
    if on_host(kernel, accelerator):
        cycles = host_cycles(kernel.kind, points, accelerator)
        energy = cycles * accelerator.host.pj_per_cycle
        return UnitWork(cycles=cycles, energy_pj=energy, passes=1)
    unit = accelerator.vector_unit
    assert unit is not None, "a supported kind has a unit"
    passes = unit.passes[kernel.kind]
    columns = chunk[kernel.writes.access.indices[-1].terms[-1][0]]
    rows = ceil_div(points, columns)
    cycles = ceil_div(points * passes, unit.lanes) + rows * unit.row_overhead_cycles[kernel.kind]
    return UnitWork(cycles=cycles, energy_pj=points * unit.energy_pj[kernel.kind], passes=passes)
