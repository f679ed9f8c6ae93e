"""A contraction and a machine, packed as integers for the compiled arithmetic of programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferstack.hardware.accelerator import Accelerator, Level, Role
from inferstack.mapping.contraction import MATMUL_DIMS, Contraction
from inferstack.mapping.epilogue import NO_EPILOGUE, ROW_KINDS, Epilogue
from inferstack.mapping.tiled import BLOCK_ROWS, level_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]


def problem(
    contraction: Contraction,
    accelerator: Accelerator,
    whole: tuple[str, ...] = (),
    refetched: tuple[str, ...] = (),
) -> Integers:
    """`packed.PROBLEM` of a contraction and what follows it; whole, refetched as in `Tiling`."""
    import numpy as np

    from inferstack.cost.programs.packed import PROBLEM

    extents, epilogue = contraction.extents, contraction.epilogue
    a, b, out = (contraction.finished.by_role(role) for role in Role)
    # A weight is loaded again up to the innermost batch loop that moves it.
    weight_batch = walked = 1
    for name, extent in contraction.batch_dims:
        walked *= extent
        if name in b.dims and extent > 1:
            weight_batch = walked
    values: dict[str, int] = {
        **{dim: extents[dim] for dim in MATMUL_DIMS},
        "batch": contraction.batch,
        "weight_batch": weight_batch,
        "input_bits": a.bits,
        "weight_bits": b.bits,
        "output_bits": out.bits,
        "partial_sum_bits": accelerator.levels[0].partial_sum_bits,
        "weight_transposed": int(contraction.weight_transposed),
        "bias_bits": contraction.bias_bits or 0,
        "residuals": len(epilogue.residual_bits),
        "residual_bits": sum(epilogue.residual_bits),
        "whole_rows": int(epilogue.whole_rows),
        "input_stays": int(a.slot in whole),
        "weight_stays": int(b.slot in whole),
        "input_again": int(a.slot in refetched),
        "weight_again": int(b.slot in refetched),
        "row_reads": contraction.row_factor_bits,
        "row_writes": epilogue.row_factor_bits,
    }
    return np.array([values[name] for name in PROBLEM], dtype=np.int64)


def machine(accelerator: Accelerator, epilogue: Epilogue = NO_EPILOGUE) -> Integers:
    """`packed.MACHINE` of an accelerator with the units that the epilogue uses."""
    import numpy as np

    from inferstack.cost.programs.packed import MACHINE

    array, dma, unit = accelerator.array, accelerator.dma, accelerator.vector_unit
    inputs, weights, results = (level_of(accelerator, role) for role in Role)
    port, statistics, overhead = 1, 0, 0
    kind = epilogue.command
    if kind is not None:
        assert unit is not None, f"{accelerator.name} has no unit for {kind}"
        if kind in ROW_KINDS:
            statistics, overhead = unit.passes[kind] - 1, unit.row_overhead_cycles[kind]
        else:
            port = unit.passes[kind] + unit.row_overhead_cycles[kind]
    values: dict[str, int] = {
        "block_k": array.rows,
        "block_n": array.columns,
        "pass_cycles": array.pass_cycles,
        "fill_cycles": array.fill_cycles,
        "bus_bytes": dma.bus_bytes,
        "request_bytes": dma.request_bytes,
        "in_flight": dma.requests_in_flight,
        "read_latency": dma.read_latency_cycles,
        "write_latency": dma.write_latency_cycles,
        "load_entries": dma.load_queue,
        "store_entries": dma.store_queue,
        "block_rows": BLOCK_ROWS,
        "lanes": array.columns if unit is None else unit.lanes,
        "port_cycles": port,
        "statistics_passes": statistics,
        "row_overhead": overhead,
        "input_limit": _limit(inputs),
        "weight_limit": _limit(weights),
        "output_limit": _limit(results),
        "shared": int(inputs.name == weights.name),
        "result_bits": results.partial_sum_bits,
        "factor_bytes": epilogue.row_factor_bits // 8,
    }
    return np.array([values[name] for name in MACHINE], dtype=np.int64)


def _limit(level: Level) -> int:
    return 2**62 if level.usable_bytes is None else level.usable_bytes


def energies(accelerator: Accelerator, fixed_pj: float = 0.0) -> npt.NDArray[np.float64]:
    """pJ per byte read and written of DRAM, input's, weight's, output's level; pJ per MAC.

    fixed_pj: what comes on top whatever the tiles are.
    """
    import numpy as np

    levels: list[Any] = [accelerator.levels[0], *(level_of(accelerator, role) for role in Role)]
    values = [v for level in levels for v in (level.read_pj_per_byte, level.write_pj_per_byte)]
    return np.array([*values, accelerator.array.mac_pj, fixed_pj], dtype=np.float64)
