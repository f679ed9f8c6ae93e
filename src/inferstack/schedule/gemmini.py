"""Gemmini's own heuristic for tiles (`tiled_matmul_auto`), the "default" schedule of the survey.

Source: ucb-bar/gemmini-rocc-tests, commit 180c468, include/gemmini.h; survey section 7.3.
"""

from __future__ import annotations

import math

from inferstack.core.infeasible import Infeasible
from inferstack.core.units import ceil_div
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.mapping import legality
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Mapping
from inferstack.mapping.tiled import Tiling, block, level_of, tiled_mapping

ORDER = "mnk"
MOST_KEPT_TILES = 2
"""An operand of so many tiles stays in the two halves of the scratchpad."""


def greedy_blocks(
    contraction: Contraction, accelerator: Accelerator, *, whole_rows: bool = False
) -> tuple[int, int, int] | Infeasible:
    """(I, J, K): the tile in blocks of the array along m, n and k.

    Starts from a square of output blocks that fills half of the output's usable memory, then grows
    J, I and K in turns while both memories' halves hold the tiles. whole_rows: start from whole
    rows of n (a softmax or LayerNorm on the way out).
    """
    extents, size = contraction.extents, block(accelerator)
    most = (
        ceil_div(extents["m"], size["n"]),
        ceil_div(extents["n"], size["n"]),
        ceil_div(extents["k"], size["k"]),
    )
    operands = level_of(accelerator, Role.INPUT)
    results = level_of(accelerator, Role.OUTPUT)
    assert operands.usable_bytes is not None, "Gemmini's scratchpad is bounded"
    assert results.usable_bytes is not None, "Gemmini's accumulator is bounded"
    operand_bits = contraction.by_role(Role.INPUT).bits
    fit = operands.usable_bytes * 8 // (size["n"] * size["k"] * operand_bits)
    fit_out = results.usable_bytes * 8 // (size["n"] * size["n"] * results.partial_sum_bits)
    if whole_rows:
        i, j, k = 1, most[1], 1
    else:
        # A deep tile: with `fit_out` output blocks there are as many columns as rows.
        edge = max(1, math.isqrt(fit_out))
        i, j = min(edge, most[0]), min(edge, most[1])
        k = min(max(1, fit // 2 // edge), most[2])
    if i * j > fit_out:
        demand = i * j * size["n"] * size["n"] * results.partial_sum_bits // 8
        return _misfit(contraction, accelerator, "out", demand)
    while True:
        before = (i, j, k)
        if j < most[1] and (i + j + 1) * k <= fit and i * (j + 1) <= fit_out:
            j += 1
        if i < most[0] and (i + 1 + j) * k <= fit and (i + 1) * j <= fit_out:
            i += 1
        if k < most[2] and (i + j) * (k + 1) <= fit:
            k += 1
        if (i, j, k) == before:
            return i, j, k


def _misfit(
    contraction: Contraction, accelerator: Accelerator, slot: str, demand: int
) -> Infeasible:
    level = level_of(accelerator, contraction.operand(slot).role)
    assert level.usable_bytes is not None, "an unbounded level has no misfit"
    return Infeasible(
        resource=f"{level.name} of {accelerator.name}, tensor {slot} of {contraction.name}",
        demand=demand,
        limit=level.usable_bytes,
        unit="bytes",
        levers=(f"a larger {level.name}", "the operator unfused"),
    )


def greedy(
    contraction: Contraction,
    accelerator: Accelerator,
    fused: tuple[str, ...] = (),
    *,
    whole_rows: bool = False,
) -> Mapping | Infeasible:
    """The mapping that Gemmini's library would run.

    Its reuse of operands that are at most two tiles is a store above the loops of the matrix
    product, where half of the memory holds it beside the other operand's tile.
    """
    blocks = greedy_blocks(contraction, accelerator, whole_rows=whole_rows)
    if isinstance(blocks, Infeasible):
        return blocks
    extents, size = contraction.extents, block(accelerator)
    i, j, k = blocks
    tile = (
        min(i * size["n"], extents["m"]),
        min(j * size["n"], extents["n"]),
        min(k * size["k"], extents["k"]),
    )
    kept, again = _reuse(contraction, tile)
    misfit: Infeasible | None = None
    for whole in (kept, ()):
        tiling = Tiling(tile=tile, order=ORDER, whole=whole, refetched=again)
        mapping = tiled_mapping(contraction, accelerator, tiling, fused)
        nest = legality.checked(mapping, contraction, accelerator)
        misfit = legality.misfit(nest, contraction, accelerator)
        if misfit is None:
            return mapping
    assert misfit is not None, "a tile that fits was returned"
    return misfit


def _reuse(
    contraction: Contraction, tile: tuple[int, int, int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Operands that stay whole, and operands that are fetched again though they are there.

    The library loads the tiles of both operands at every step, except those of an operand that has
    at most two.
    """
    i, j, k = (
        ceil_div(contraction.extents[dim], step) for dim, step in zip("mnk", tile, strict=True)
    )
    a, b = (contraction.by_role(role).slot for role in (Role.INPUT, Role.WEIGHT))
    kept, again = [], []
    if i * k > MOST_KEPT_TILES and k == 1:
        again.append(a)
    elif i * k <= MOST_KEPT_TILES and k > 1:
        kept.append(a)
    if 1 < j * k <= MOST_KEPT_TILES:
        kept.append(b)
    return tuple(kept), tuple(again)
