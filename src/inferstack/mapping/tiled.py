"""Tiled schedules: one tile size per dimension, one order of the loops, blocks of the array inside.

    Loop(batch, 1) ... Loop(m, tm) Store(input) Loop(n, tn) Store(weight) Store(out) ...
    Loop(k, 16) Loop(n, 16) Loop(m, 1) Spatial(k, 16, row) Spatial(n, 16, column)

The space of issue 2: tm, tn, tk are multiples of the block or the whole extent, all six orders;
each operand's store stands above the loops that do not move it, where the tile is fetched once for
all of them. This module makes such mappings, recognises them, and packs them for the compiled
arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import MappingError
from inferstack.hardware.accelerator import Accelerator, Level, Role
from inferstack.mapping.contraction import MATMUL_DIMS, Contraction
from inferstack.mapping.epilogue import NO_EPILOGUE, ROW_KINDS, Epilogue
from inferstack.mapping.nest import Loop, Mapping, Node, Spatial, Store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

BLOCK_ROWS = 16
"""Rows of one instruction. Source: ucb-bar/gemmini, commit 8c3f992 (DIM)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """tile: extents along m, n and k. order: the loops, outermost first, e.g. "mnk".

    whole: slots that stay on the chip whole for each matrix product (Gemmini's reuse of operands).
    refetched: slots that are fetched at every step, even where the same tile is there.
    """

    tile: tuple[int, int, int]
    order: str
    whole: tuple[str, ...] = ()
    refetched: tuple[str, ...] = ()


def block(accelerator: Accelerator) -> dict[str, int]:
    """Extent of the array along k and n."""
    return {"k": accelerator.array.rows, "n": accelerator.array.columns}


def level_of(accelerator: Accelerator, role: Role) -> Level:
    """The outermost level on the chip that holds operands of `role`."""
    return next(level for level in accelerator.levels[1:] if role in level.holds)


def tiled_mapping(
    contraction: Contraction,
    accelerator: Accelerator,
    tiling: Tiling,
    fused: tuple[str, ...] = (),
) -> Mapping:
    """The mapping of a tiling. Raises MappingError where the contraction has no m, n and k."""
    extents, sizes = contraction.extents, dict(zip(MATMUL_DIMS, tiling.tile, strict=True))
    if not set(MATMUL_DIMS) <= set(extents):
        raise MappingError(
            f"operator {contraction.name}", "has no dimensions m, n and k", got=", ".join(extents)
        )
    outer = [Loop(name, 1) for name, extent in contraction.batch_dims if extent > 1]
    first = len(outer)
    outer += [Loop(dim, sizes[dim]) for dim in tiling.order if sizes[dim] < extents[dim]]
    stores: dict[int, list[Node]] = {}
    for operand in contraction.operands:
        loops = range(first if operand.slot in tiling.whole else len(outer))
        again = operand.slot in tiling.refetched
        moved = [at for at in loops if again or outer[at].dim in operand.dims]
        store = Store(operand.slot, level_of(accelerator, operand.role).name, again)
        stores.setdefault(moved[-1] + 1 if moved else 0, []).append(store)
    nodes: list[Node] = []
    for at in range(len(outer) + 1):
        nodes += stores.get(at, [])
        nodes += outer[at : at + 1]
    nodes += _blocks(sizes, accelerator)
    return Mapping(
        operator=contraction.name,
        accelerator=accelerator.name,
        nodes=tuple(nodes),
        fused=fused,
    )


def _blocks(sizes: dict[str, int], accelerator: Accelerator) -> list[Node]:
    """The blocks of a tile: k outside n outside the rows that stream."""
    size = block(accelerator)
    nodes: list[Node] = [Loop(dim, size[dim]) for dim in ("k", "n") if size[dim] < sizes[dim]]
    if sizes["m"] > 1:
        nodes.append(Loop("m", 1))
    axes = (("row", accelerator.array.row_dims), ("column", accelerator.array.column_dims))
    nodes += [Spatial(dim, size[dim], axis) for axis, dims in axes for dim in dims if dim in size]
    return nodes


def tiling_of(
    mapping: Mapping, contraction: Contraction, accelerator: Accelerator
) -> Tiling | None:
    """The tiling that a mapping is; None for any other nest."""
    extents = contraction.extents
    if not set(MATMUL_DIMS) <= set(extents):
        return None
    at = [i for i, node in enumerate(mapping.nodes) if isinstance(node, Store)]
    if not at:
        return None
    blocks = len(mapping.nodes) - 1
    while blocks >= 0 and isinstance(mapping.nodes[blocks], Spatial):
        blocks -= 1
    # The loops over blocks are the innermost of k, n, m; what is outside of them walks tiles.
    inner = [node for node in mapping.nodes[at[-1] :] if isinstance(node, Loop)]
    for split in range(len(inner) + 1):
        loops = [n for n in mapping.nodes[: at[-1]] if isinstance(n, Loop)] + inner[:split]
        order = "".join(loop.dim for loop in loops if loop.dim in MATMUL_DIMS)
        if len(set(order)) < len(order):
            continue
        sizes = {**extents, **{loop.dim: loop.step for loop in loops}}
        order += "".join(dim for dim in MATMUL_DIMS if dim not in order)
        tile = (sizes["m"], sizes["n"], sizes["k"])
        again = tuple(n.slot for n in mapping.nodes if isinstance(n, Store) and n.refetched)
        for whole in _wholes(contraction):
            tiling = Tiling(tile=tile, order=order, whole=whole, refetched=again)
            made = tiled_mapping(contraction, accelerator, tiling)
            if made.nodes == mapping.nodes:
                return tiling
    return None


def _wholes(contraction: Contraction) -> list[tuple[str, ...]]:
    a, b = (contraction.by_role(role).slot for role in (Role.INPUT, Role.WEIGHT))
    return [(), (a,), (b,), (a, b)]


def problem(
    contraction: Contraction,
    accelerator: Accelerator,
    epilogue: Epilogue = NO_EPILOGUE,
    whole: tuple[str, ...] = (),
    refetched: tuple[str, ...] = (),
) -> Integers:
    """`packed.PROBLEM` of a contraction and its epilogue; whole, refetched as in `Tiling`."""
    import numpy as np

    from inferstack.mapping.packed import PROBLEM

    extents = contraction.extents
    a, b, out = (contraction.by_role(role) for role in Role)
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
        "output_bits": out.bits if epilogue.output_bits is None else epilogue.output_bits,
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
    }
    return np.array([values[name] for name in PROBLEM], dtype=np.int64)


def machine(accelerator: Accelerator, epilogue: Epilogue = NO_EPILOGUE) -> Integers:
    """`packed.MACHINE` of an accelerator with the units that the epilogue uses."""
    import numpy as np

    from inferstack.mapping.packed import MACHINE

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
