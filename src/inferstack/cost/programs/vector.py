"""Operators of the vector unit on their own: residual add, activations, products, softmax, norms.

Tiles of rows are loaded into the accumulator as int32 and leave through the unit; those that read a
row several times need whole rows, the others go by tiles of columns too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from inferstack.core.errors import InputError
from inferstack.core.infeasible import Infeasible
from inferstack.core.units import ceil_div
from inferstack.cost.access import Access
from inferstack.cost.programs.pack import machine
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.mapping.epilogue import ROW_FACTOR_BITS, ROW_KINDS, VECTOR_KINDS, Epilogue
from inferstack.mapping.kernels import Kernel, KernelGraph
from inferstack.mapping.tiled import BLOCK_ROWS, block, level_of

WIDEST_TILE = 256
"""Columns of a tile of an operator that goes element by element."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorOperator:
    """What the mapper needs of a vector operator.

    batch, rows, columns: of the result; a batch is a head of a softmax. input_bits, scaled: of each
    tensor that is loaded, and whether it is rescaled on the way in.
    """

    name: str
    kind: str
    batch: int
    rows: int
    columns: int
    input_bits: tuple[int, ...]
    scaled: tuple[bool, ...]
    output_bits: int

    @property
    def elements(self) -> int:
        """Of the result."""
        return self.batch * self.rows * self.columns

    @property
    def row_factor_bytes(self) -> int:
        """Of the factors of rows that a softmax writes."""
        return self.batch * self.rows * ROW_FACTOR_BITS // 8 if self.kind == "softmax" else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorCost:
    """What a vector operator costs: predicted cycles, energy, bytes by (level, slot)."""

    cycles: int
    energy_pj: float
    accesses: dict[tuple[str, str], Access]
    dram_bytes: int
    compulsory_dram_bytes: int


def vector_operator(graph: KernelGraph, kernel: Kernel) -> VectorOperator:
    """The vector operator of a kernel. Raises InputError for other kinds."""
    if kernel.kind not in VECTOR_KINDS:
        raise InputError(f"operator {kernel.name}", "no vector unit computes it", got=kernel.kind)
    shape = graph.shapes[kernel.writes.tensor]
    batch = shape[1] if kernel.kind == "softmax" else 1
    return VectorOperator(
        name=kernel.name,
        kind=kernel.kind,
        batch=batch,
        rows=math.prod(shape[:-1]) // batch,
        columns=shape[-1],
        input_bits=tuple(port.bits for port in kernel.reads),
        scaled=tuple(port.slot in kernel.rescaled for port in kernel.reads),
        output_bits=kernel.writes.bits,
    )


def vector_tile(wanted: VectorOperator, accelerator: Accelerator) -> tuple[int, int] | Infeasible:
    """(rows, columns) of a tile: as many rows as half of the accumulator holds."""
    level = level_of(accelerator, Role.OUTPUT)
    assert level.usable_bytes is not None, "the accumulator is bounded"
    columns = block(accelerator)["n"]
    row_bytes = columns * level.partial_sum_bits // 8
    width = wanted.columns if wanted.kind in ROW_KINDS else min(wanted.columns, WIDEST_TILE)
    rows = level.usable_bytes // row_bytes // ceil_div(width, columns)
    if rows == 0:
        return Infeasible(
            resource=f"{level.name} of {accelerator.name}, one row of {wanted.name}",
            demand=ceil_div(width, columns) * row_bytes,
            limit=level.usable_bytes,
            unit="bytes",
            levers=(f"a larger {level.name}", f"no double buffering of {level.name}"),
        )
    return min(rows // BLOCK_ROWS * BLOCK_ROWS or rows, wanted.rows), width


def vector_cost(wanted: VectorOperator, accelerator: Accelerator) -> VectorCost | Infeasible:
    """Predicted cost of a vector operator alone. Tables of scales and masks are not counted."""
    tile = vector_tile(wanted, accelerator)
    if isinstance(tile, Infeasible):
        return tile
    unit, dram = accelerator.vector_unit, accelerator.levels[0]
    assert unit is not None, f"{accelerator.name} has no unit for {wanted.kind}"
    level = level_of(accelerator, Role.OUTPUT)
    sums = wanted.elements * level.partial_sum_bits // 8
    passes = unit.passes[wanted.kind] if wanted.kind in ROW_KINDS else 1
    loaded = len(wanted.input_bits)
    moved = {
        (dram.name, "input"): Access(
            read_bytes=sum(wanted.elements * bits // 8 for bits in wanted.input_bits),
            written_bytes=0,
        ),
        (dram.name, "out"): Access(
            read_bytes=0, written_bytes=wanted.elements * wanted.output_bits // 8
        ),
        # A second operand is added to what is there; every pass reads the row.
        (level.name, "out"): Access(
            read_bytes=(loaded - 1 + passes) * sums, written_bytes=loaded * sums
        ),
    }
    if wanted.row_factor_bytes:
        moved[dram.name, "row factors"] = Access(
            read_bytes=0, written_bytes=wanted.row_factor_bytes
        )
    energy = unit_energy_pj(wanted.kind, wanted.scaled, wanted.elements, accelerator)
    for (name, _), access in moved.items():
        place = accelerator.level(name)
        energy += access.read_bytes * place.read_pj_per_byte
        energy += access.written_bytes * place.write_pj_per_byte
    total = sum(a.total_bytes for (name, _), a in moved.items() if name == dram.name)
    return VectorCost(
        cycles=_cycles(wanted, tile, accelerator),
        energy_pj=energy,
        accesses=moved,
        dram_bytes=total,
        compulsory_dram_bytes=total,
    )


def unit_energy_pj(
    kind: str, scaled: tuple[bool, ...], elements: int, accelerator: Accelerator
) -> float:
    """Energy of the unit itself: per element of a command, per rescaled element of an add."""
    unit = accelerator.vector_unit
    assert unit is not None, f"{accelerator.name} has no unit for {kind}"
    times = sum(scaled) if kind == "add" else 1
    return times * elements * unit.energy_pj[kind]


def _cycles(wanted: VectorOperator, tile: tuple[int, int], accelerator: Accelerator) -> int:
    """Loads of each tile beside the stores of the one before."""
    import numpy as np

    from inferstack.cost.programs.vector_steps import vector_cycles

    kinds = () if wanted.kind == "add" else (wanted.kind,)
    ahead = 2 if level_of(accelerator, Role.OUTPUT).double_buffered else 1
    problem = [wanted.batch, wanted.rows, wanted.columns, *tile, wanted.output_bits, ahead]
    return math.ceil(
        vector_cycles(
            np.array(problem, dtype=np.int64),
            np.array(wanted.input_bits, dtype=np.int64),
            machine(accelerator, Epilogue(kinds=kinds)),
        )
    )
