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
from typing import TYPE_CHECKING

from inferstack.core.errors import MappingError
from inferstack.hardware.accelerator import Accelerator, Level, Role
from inferstack.mapping.contraction import MATMUL_DIMS, Contraction
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
