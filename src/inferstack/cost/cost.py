"""`Cost` of a mapping: exact traffic and occupancy, energy, and the predicted latency."""

from __future__ import annotations

import math
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass

from inferstack.core.errors import MappingError
from inferstack.core.infeasible import Infeasible
from inferstack.cost import sequencer
from inferstack.cost.access import ARRAY, Access, Crossing, stationary
from inferstack.cost.programs import traffic
from inferstack.cost.programs.pack import machine, problem
from inferstack.cost.programs.vector import unit_energy_pj
from inferstack.hardware.accelerator import Accelerator, Level, Role
from inferstack.mapping import legality
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.epilogue import NO_EPILOGUE, ROW_KINDS, Epilogue, with_epilogue
from inferstack.mapping.nest import Mapping
from inferstack.mapping.tiled import Tiling, level_of, tiling_of

UNITS_OF_BOUND = ("array", "dram", "vector unit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a mapping costs. Energies in pJ; bytes are exact.

    accesses: by (level, slot); slot "bias" is the row that outputs start from, "residual" what is
    added on the way out, "row factors" what rows of probabilities are divided by.
    occupancy_bytes: of one tile generation, by level. busy_cycles: array, DRAM bus and vector unit.
    crossings: tiles and elements between neighbouring places, by operand.
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
    """The cost of a mapping, with `epilogue` fused to it.

    On a machine without a DMA engine it is `nest_cost`. Raises MappingError for a mapping that
    makes no sense or does not fit.
    """
    if not accelerator.has_dma:
        return nest_cost(mapping, with_epilogue(contraction, epilogue), accelerator)
    wanted = with_epilogue(contraction, epilogue)
    nest = legality.checked(mapping, wanted, accelerator)
    misfit = legality.misfit(nest, wanted, accelerator)
    if misfit is not None:
        raise _does_not_fit(mapping, misfit)
    if epilogue.whole_rows:
        legality.need_whole_rows(mapping, nest, wanted, epilogue.names[-1])
    found = traffic.crossings(nest, wanted, accelerator)
    bias = traffic.bias_reads(nest, wanted, accelerator)
    moved = dict(traffic.accesses(found, wanted, accelerator, bias))
    moved |= _residual_accesses(wanted, accelerator, epilogue)
    moved |= _row_factor_accesses(nest, wanted, accelerator, epilogue)
    dram = accelerator.levels[0].name
    total = sum(a.total_bytes for (level, _), a in moved.items() if level == dram)
    busy = {
        "array": legality.steps(nest, wanted),
        "dram": math.ceil(total / accelerator.dma.bus_bytes),
    }
    tiling = tiling_of(mapping, wanted, accelerator)
    if tiling is None:
        cycles = max(busy.values()) + accelerator.array.fill_cycles
    else:
        cycles = tiled_cycles(tiling, wanted, accelerator, epilogue)
    residual = sum(epilogue.residual_bits) * _outputs(wanted) // 8
    residual += wanted.rows * epilogue.row_factor_bits // 8 if epilogue.row_factor_bits else 0
    return Cost(
        cycles=cycles,
        energy_pj=_energy_pj(moved, wanted, accelerator)
        + fixed_energy_pj(wanted, accelerator, epilogue),
        macs=wanted.macs,
        accesses=moved,
        crossings=found,
        occupancy_bytes=_occupied(nest, wanted, accelerator),
        busy_cycles=busy,
        compulsory_dram_bytes=wanted.compulsory_bytes + residual,
        dram=dram,
    )


def nest_cost(mapping: Mapping, contraction: Contraction, accelerator: Accelerator) -> Cost:
    """The cost of any nest on any hierarchy, by `sequencer`: what the search over nests minimizes.

    Latency is that of the busiest part, plus the array's fill: the steps of the array, the loads of
    its stationary tiles (`pass_cycles` each), every port of every level. Loads and work overlap
    perfectly, so it is a lower bound of a schedule with bursts. On a machine with a DMA engine,
    DRAM's port alone counts, and the first loads and queues of `cost` are left out. Energy is that
    of all instances. Raises MappingError for a mapping that makes no sense or does not fit.
    """
    nest = legality.checked(mapping, contraction, accelerator)
    misfit = legality.misfit(nest, contraction, accelerator)
    if misfit is not None:
        raise _does_not_fit(mapping, misfit)
    found = sequencer.flows(nest, contraction, accelerator)
    moved, busiest = sequencer.flow_accesses(found, contraction, accelerator)
    busy = {"array": legality.steps(nest, contraction)}
    held = stationary(accelerator)
    loads = sum(f.transfers for f in found if f.role is held and f.inner == ARRAY)
    if loads and not accelerator.has_dma:
        busy["array loads"] = loads * accelerator.array.pass_cycles
    for level in accelerator.levels[: 1 if accelerator.has_dma else None]:
        here = [access for (name, _), access in busiest.items() if name == level.name]
        busy |= port_cycles(
            level, sum(a.read_bytes for a in here), sum(a.written_bytes for a in here)
        )
    return Cost(
        cycles=max(busy.values()) + accelerator.array.fill_cycles,
        energy_pj=_energy_pj(moved, contraction, accelerator),
        macs=contraction.macs,
        accesses=moved,
        crossings=tuple(
            Crossing(
                slot=f.slot,
                role=f.role,
                outer=f.outer,
                inner=f.inner,
                transfers=f.transfers,
                elements=f.total.outer,
            )
            for f in found
        ),
        occupancy_bytes=_occupied(nest, contraction, accelerator),
        busy_cycles=busy,
        compulsory_dram_bytes=contraction.compulsory_bytes,
        dram=accelerator.levels[0].name,
    )


def port_cycles(level: Level, read_bytes: int, written_bytes: int) -> dict[str, int]:
    """Cycles by port of a level: one for both directions, or one for each."""
    if level.shared_port:
        cycles = math.ceil((read_bytes + written_bytes) / level.read_bytes_per_cycle)
        return {level.name: cycles}
    return {
        f"{level.name} reads": math.ceil(read_bytes / level.read_bytes_per_cycle),
        f"{level.name} writes": math.ceil(written_bytes / level.write_bytes_per_cycle),
    }


def _occupied(
    nest: legality.Nest, contraction: Contraction, accelerator: Accelerator
) -> dict[str, int]:
    occupied: dict[str, int] = {}
    for (level, _), size in legality.occupancy(nest, contraction, accelerator).items():
        occupied[level] = occupied.get(level, 0) + size
    return occupied


def _does_not_fit(mapping: Mapping, misfit: Infeasible) -> MappingError:
    return MappingError(
        f"mapping of {mapping.operator}",
        f"does not fit the {misfit.resource}",
        got=f"{misfit.demand} bytes",
        need=f"at most {misfit.limit}",
        hint="; or ".join(misfit.levers),
    )


def _outputs(contraction: Contraction) -> int:
    return contraction.by_role(Role.OUTPUT).elements(contraction.extents)


def _residual_accesses(
    contraction: Contraction, accelerator: Accelerator, epilogue: Epilogue
) -> dict[tuple[str, str], Access]:
    """Residuals come from DRAM, are written to the accumulator, and read with the first products.

    Several addends (the bias among them) are each added to what is there.
    """
    if not epilogue.residual_bits:
        return {}
    level = level_of(accelerator, Role.OUTPUT)
    outputs, count = _outputs(contraction), len(epilogue.residual_bits)
    sums = count * outputs * level.partial_sum_bits // 8
    return {
        (accelerator.levels[0].name, "residual"): Access(
            read_bytes=sum(epilogue.residual_bits) * outputs // 8, written_bytes=0
        ),
        (level.name, "residual"): Access(read_bytes=sums, written_bytes=sums),
    }


def _row_factor_accesses(
    nest: legality.Nest, contraction: Contraction, accelerator: Accelerator, epilogue: Epilogue
) -> dict[tuple[str, str], Access]:
    """Factors of rows: an attention context reads a tile's, a softmax writes its rows'."""
    if not contraction.row_factor_bits and not epilogue.row_factor_bits:
        return {}
    times = traffic.output_chunks(nest, contraction, "n")
    return {
        (accelerator.levels[0].name, "row factors"): Access(
            read_bytes=contraction.rows * times * contraction.row_factor_bits // 8,
            written_bytes=contraction.rows * epilogue.row_factor_bits // 8,
        )
    }


def _energy_pj(
    moved: Dictionary[tuple[str, str], Access], contraction: Contraction, accelerator: Accelerator
) -> float:
    energy = contraction.macs * accelerator.array.mac_pj
    for (name, _), access in moved.items():
        level = accelerator.level(name)
        energy += access.read_bytes * level.read_pj_per_byte
        energy += access.written_bytes * level.write_pj_per_byte
    return energy


def fixed_energy_pj(
    contraction: Contraction, accelerator: Accelerator, epilogue: Epilogue
) -> float:
    """Energy of the epilogue whatever the tiles are: the units, and the statistics' reads."""
    unit, outputs = accelerator.vector_unit, _outputs(contraction)
    if unit is None or not epilogue.kinds:
        return 0.0
    level = level_of(accelerator, Role.OUTPUT)
    energy = sum(
        unit_energy_pj(kind, epilogue.scaled, outputs, accelerator)
        for kind in dict.fromkeys(epilogue.kinds)
    )
    if epilogue.command in ROW_KINDS:
        passes = unit.passes[epilogue.command] - 1
        energy += passes * outputs * level.partial_sum_bits // 8 * level.read_pj_per_byte
    return energy


def tiled_cycles(
    tiling: Tiling,
    contraction: Contraction,
    accelerator: Accelerator,
    epilogue: Epilogue = NO_EPILOGUE,
) -> int:
    """Predicted cycles of a tiled schedule."""
    from inferstack.cost.programs.packed import ORDER_DIMS, ORDERS
    from inferstack.cost.programs.steps import cycles_of

    q = problem(contraction, accelerator, epilogue, tiling.whole, tiling.refetched)
    p = machine(accelerator, epilogue)
    order = ORDER_DIMS[ORDERS.index(tiling.order)]
    return math.ceil(cycles_of(*tiling.tile, order, q, p))
