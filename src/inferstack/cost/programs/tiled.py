"""The cost of a tiled schedule on a machine that runs programs, with operators on the way out."""

from __future__ import annotations

import math

from inferstack.cost.access import Access
from inferstack.cost.figures import Cost, moved_energy_pj, occupied_bytes
from inferstack.cost.programs import traffic
from inferstack.cost.programs.pack import machine, problem
from inferstack.cost.programs.vector import unit_energy_pj
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.mapping import legality
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.epilogue import ROW_KINDS
from inferstack.mapping.nest import Mapping
from inferstack.mapping.tiled import Tiling, level_of


def tiled_cost(
    mapping: Mapping,
    nest: legality.Nest,
    tiling: Tiling,
    contraction: Contraction,
    accelerator: Accelerator,
) -> Cost:
    """The cost. nest, tiling: of the mapping, which fits. Raises MappingError where what follows
    needs whole rows and the tile has none."""
    wanted, epilogue = contraction.finished, contraction.epilogue
    if epilogue.whole_rows:
        legality.need_whole_rows(mapping, nest, wanted, epilogue.names[-1])
    found = traffic.crossings(nest, wanted, accelerator)
    bias = traffic.bias_reads(nest, wanted, accelerator)
    moved = dict(traffic.accesses(found, wanted, accelerator, bias))
    moved |= _residual_accesses(contraction, accelerator)
    moved |= _row_factor_accesses(nest, wanted, accelerator)
    dram = accelerator.levels[0].name
    total = sum(a.total_bytes for (level, _), a in moved.items() if level == dram)
    residual = sum(epilogue.residual_bits) * _outputs(contraction) // 8
    residual += wanted.rows * epilogue.row_factor_bits // 8 if epilogue.row_factor_bits else 0
    return Cost(
        cycles=tiled_cycles(tiling, contraction, accelerator),
        energy_pj=moved_energy_pj(moved, wanted, accelerator)
        + fixed_energy_pj(contraction, accelerator),
        macs=wanted.macs,
        accesses=moved,
        crossings=found,
        occupancy_bytes=occupied_bytes(nest, wanted, accelerator),
        busy_cycles={
            "array": legality.steps(nest, wanted),
            "dram": math.ceil(total / accelerator.dma.bus_bytes),
        },
        compulsory_dram_bytes=wanted.compulsory_bytes + residual,
        dram=dram,
    )


def _outputs(contraction: Contraction) -> int:
    return contraction.by_role(Role.OUTPUT).elements(contraction.extents)


def _residual_accesses(
    contraction: Contraction, accelerator: Accelerator
) -> dict[tuple[str, str], Access]:
    """Residuals come from DRAM, are written to the accumulator, and read with the first products.

    Several addends (the bias among them) are each added to what is there.
    """
    bits = contraction.epilogue.residual_bits
    if not bits:
        return {}
    level, outputs = level_of(accelerator, Role.OUTPUT), _outputs(contraction)
    sums = len(bits) * outputs * level.partial_sum_bits // 8
    return {
        (accelerator.levels[0].name, "residual"): Access(
            read_bytes=sum(bits) * outputs // 8, written_bytes=0
        ),
        (level.name, "residual"): Access(read_bytes=sums, written_bytes=sums),
    }


def _row_factor_accesses(
    nest: legality.Nest, contraction: Contraction, accelerator: Accelerator
) -> dict[tuple[str, str], Access]:
    """Factors of rows: an attention context reads a tile's, a softmax writes its rows'."""
    reads, writes = contraction.row_factor_bits, contraction.epilogue.row_factor_bits
    if not reads and not writes:
        return {}
    times = traffic.output_chunks(nest, contraction, "n")
    return {
        (accelerator.levels[0].name, "row factors"): Access(
            read_bytes=contraction.rows * times * reads // 8,
            written_bytes=contraction.rows * writes // 8,
        )
    }


def fixed_energy_pj(contraction: Contraction, accelerator: Accelerator) -> float:
    """Energy of what follows whatever the tiles are: the units, and the statistics' reads."""
    unit, outputs, epilogue = accelerator.vector_unit, _outputs(contraction), contraction.epilogue
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


def tiled_cycles(tiling: Tiling, contraction: Contraction, accelerator: Accelerator) -> int:
    """Predicted cycles of a tiled schedule."""
    from inferstack.cost.programs.packed import ORDER_DIMS, ORDERS
    from inferstack.cost.programs.steps import cycles_of

    q = problem(contraction, accelerator, tiling.whole, tiling.refetched)
    p = machine(accelerator, contraction.epilogue)
    order = ORDER_DIMS[ORDERS.index(tiling.order)]
    return math.ceil(cycles_of(*tiling.tile, order, q, p))
