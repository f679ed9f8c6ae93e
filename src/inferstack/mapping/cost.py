"""`Cost` of a mapping: exact traffic and occupancy, energy, and the predicted latency."""

from __future__ import annotations

import math
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass

from inferstack.core.errors import MappingError
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping import legality, traffic
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Mapping
from inferstack.mapping.tiled import NO_EPILOGUE, Epilogue, Tiling, machine, problem, tiling_of
from inferstack.mapping.traffic import Access, Crossing

UNITS_OF_BOUND = ("array", "dram", "vector unit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a mapping costs. Energies in pJ; bytes are exact.

    accesses: by (level, slot); slot "bias" is the row that outputs start from, "residual" what is
    added on the way out. occupancy_bytes: of one tile generation, by level. busy_cycles: array,
    DRAM bus and vector unit. crossings: tiles and elements between neighbouring places, by
    operand.
    """

    cycles: int
    energy_pj: float
    macs: int
    accesses: Dictionary[tuple[str, str], Access]
    crossings: tuple[Crossing, ...]
    occupancy_bytes: Dictionary[str, int]
    busy_cycles: Dictionary[str, int]
    compulsory_dram_bytes: int
    dram: str

    @property
    def dram_read_bytes(self) -> int:
        """Bytes read from the outermost level."""
        return sum(a.read_bytes for (level, _), a in self.accesses.items() if level == self.dram)

    @property
    def dram_written_bytes(self) -> int:
        """Bytes written to the outermost level."""
        return sum(a.written_bytes for (level, _), a in self.accesses.items() if level == self.dram)

    @property
    def dram_bytes(self) -> int:
        """Bytes read from and written to the outermost level."""
        return self.dram_read_bytes + self.dram_written_bytes

    @property
    def edp(self) -> float:
        """pJ times cycles."""
        return self.energy_pj * self.cycles

    @property
    def bound_by(self) -> str:
        """The unit that is busy longest."""
        return max(self.busy_cycles, key=lambda unit: self.busy_cycles[unit])

    def value(self, objective: str) -> float:
        """The figure that a search minimizes."""
        figures = {
            "latency": float(self.cycles),
            "energy": self.energy_pj,
            "edp": self.edp,
            "dram_bytes": float(self.dram_bytes),
        }
        return figures[objective]


def cost(
    mapping: Mapping,
    contraction: Contraction,
    accelerator: Accelerator,
    epilogue: Epilogue = NO_EPILOGUE,
) -> Cost:
    """The cost of a mapping. Raises MappingError for one that makes no sense or does not fit."""
    nest = legality.checked(mapping, contraction, accelerator)
    misfit = legality.misfit(nest, contraction, accelerator)
    if misfit is not None:
        raise MappingError(
            f"mapping of {mapping.operator}",
            f"does not fit the {misfit.resource}",
            got=f"{misfit.demand} bytes",
            need=f"at most {misfit.limit}",
            hint="; or ".join(misfit.levers),
        )
    found = traffic.crossings(nest, contraction, accelerator)
    bias = traffic.bias_reads(nest, contraction, accelerator)
    moved = traffic.accesses(found, contraction, accelerator, bias)
    occupied: dict[str, int] = {}
    for (level, _), size in legality.occupancy(nest, contraction, accelerator).items():
        occupied[level] = occupied.get(level, 0) + size
    energy = contraction.macs * accelerator.array.mac_pj
    for (level, _), access in moved.items():
        place = accelerator.level(level)
        energy += access.read_bytes * place.read_pj_per_byte
        energy += access.written_bytes * place.write_pj_per_byte
    steps = legality.steps(nest, contraction)
    tiling = tiling_of(mapping, contraction, accelerator)
    dram = accelerator.levels[0].name
    total = sum(a.total_bytes for (level, _), a in moved.items() if level == dram)
    busy = {"array": steps, "dram": math.ceil(total / accelerator.dma.bus_bytes)}
    if tiling is None:
        cycles = max(busy.values()) + accelerator.array.fill_cycles
    else:
        cycles = tiled_cycles(tiling, contraction, accelerator, epilogue)
    return Cost(
        cycles=cycles,
        energy_pj=energy,
        macs=contraction.macs,
        accesses=moved,
        crossings=found,
        occupancy_bytes=occupied,
        busy_cycles=busy,
        compulsory_dram_bytes=contraction.compulsory_bytes,
        dram=dram,
    )


def tiled_cycles(
    tiling: Tiling,
    contraction: Contraction,
    accelerator: Accelerator,
    epilogue: Epilogue = NO_EPILOGUE,
) -> int:
    """Predicted cycles of a tiled schedule."""
    from inferstack.mapping.steps import ORDER_DIMS, ORDERS, cycles_of

    q = problem(contraction, accelerator, epilogue, tiling.whole, tiling.refetched)
    p = machine(accelerator, epilogue)
    order = ORDER_DIMS[ORDERS.index(tiling.order)]
    return math.ceil(cycles_of(*tiling.tile, order, q, p))
