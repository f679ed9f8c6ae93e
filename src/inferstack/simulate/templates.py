"""Instruction sequences of one tile at address 0: made once per shape, then shifted into place.

Local layout of a tile of `rows` x `columns`: rows in groups of 16 (the last may be smaller), each
group as blocks of 16 columns one after the other. So a tile takes rows * ceil(columns / 16) local
rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.units import ceil_div
from inferstack.simulate import isa

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

BLOCK = 16
ROW_BYTES = 64
"""The widest row of a move."""


def tile_rows(rows: int, columns: int) -> int:
    """Local rows of a tile."""
    return rows * ceil_div(columns, BLOCK)


def spans(extent: int, step: int) -> Iterator[tuple[int, int]]:
    """(start, size) of the steps through `extent`."""
    for start in range(0, extent, step):
        yield start, min(step, extent - start)


@lru_cache(maxsize=4096)
def moves(
    opcode: int,
    rows: int,
    columns: int,
    stride: int,
    element_bytes: int,
    flags: int,
    row_stride: int,
    widest: int = ROW_BYTES,
) -> Array:
    """mvin or mvout of a tile: rows in groups of 16, columns in pieces of `widest` bytes.

    stride: bytes between rows in DRAM as in the instruction; row_stride: as the addresses advance
    (both 0 for a row that is repeated). Order: for mvin by row group, for mvout by column, in which
    the array finishes.
    """
    piece = max(BLOCK, widest // element_bytes)
    width = ceil_div(columns, BLOCK)
    entries = [(r, rs, c, cs) for c, cs in spans(columns, piece) for r, rs in spans(rows, BLOCK)]
    if opcode == isa.MVIN:
        entries.sort()
    made = np.zeros(len(entries), dtype=isa.INSTRUCTION)
    table = np.array(entries, dtype=np.int64)
    made["opcode"], made["flags"], made["config"] = opcode, flags, -1
    made["rows"], made["cols"] = table[:, 1], table[:, 3]
    made["local"] = table[:, 0] * width + table[:, 2] // BLOCK * table[:, 1]
    made["other"], made["column"] = table[:, 0], table[:, 2]
    made["stride"] = stride
    made["dram"] = table[:, 0] * row_stride + table[:, 2] * element_bytes
    return made


@lru_cache(maxsize=1024)
def computes(
    m: int,
    n: int,
    k: int,
    transposed: bool,
    first_adds: bool,
    a_held: tuple[int, int] | None = None,
    b_held: tuple[int, int] | None = None,
) -> Array:
    """preload and compute of every block of a tile, k outermost, then n, then m.

    Weights stay in the array while the rows of A pass. transposed: B is stored n x k. a_held,
    b_held: where the tile is part of what is held: (blocks in a row of it, the tile's first block).
    """
    deep, wide, tall = ceil_div(k, BLOCK), ceil_div(n, BLOCK), ceil_div(m, BLOCK)
    kb, nb, mb = np.meshgrid(np.arange(deep), np.arange(wide), np.arange(tall), indexing="ij")
    ks, ns, ms = (
        np.minimum(BLOCK, extent - block * BLOCK) for extent, block in ((k, kb), (n, nb), (m, mb))
    )
    made = np.zeros((deep, wide, tall, 2), dtype=isa.INSTRUCTION)
    made["config"] = -1
    a_row, a_first = a_held or (deep, 0)
    b_row, b_first = b_held or (deep if transposed else wide, 0)
    preload, compute = made[..., 0], made[..., 1]
    preload["opcode"], compute["opcode"] = isa.PRELOAD, isa.COMPUTE
    if transposed:
        preload["rows"], preload["cols"] = ns, ks
        preload["flags"] = isa.TRANSPOSE
        preload["local"] = nb * BLOCK * b_row + (b_first + kb) * ns
    else:
        preload["rows"], preload["cols"] = ks, ns
        preload["local"] = kb * BLOCK * b_row + (b_first + nb) * ks
    preload["local"][:, :, 1:] = isa.KEEP
    target = mb * BLOCK * wide + nb * ms + isa.ACCUMULATOR
    adds = (kb > 0) | first_adds
    preload["other"] = target + np.where(adds, isa.ACCUMULATE, 0)
    compute["rows"], compute["cols"], compute["column"] = ms, ks, ns
    compute["local"] = mb * BLOCK * a_row + (a_first + kb) * ms
    return made


@lru_cache(maxsize=1024)
def normalised(rows: int, columns: int, passes: int, stride: int, factors: bool) -> Array:
    """mvouts of whole rows: statistics passes over each group of 16 rows, then the one to DRAM.

    factors: the rows' factors follow, one row of int32.
    """
    made = []
    for start, size in spans(rows, BLOCK):
        one = moves(isa.MVOUT, size, columns, stride, 1, 0, stride, BLOCK).copy()
        one["local"] += start * ceil_div(columns, BLOCK)
        one["other"] += start
        one["dram"] += start * stride
        for index in range(passes - 1):
            statistics = one.copy()
            statistics["flags"] = isa.STATISTICS
            if index == 0:
                statistics["flags"][0] |= isa.FIRST
            if index == passes - 2:
                statistics["flags"][-1] |= isa.LAST
            made.append(statistics)
        made.append(one)
        if factors:
            last = one[:1].copy()
            last["flags"] = isa.FACTORS | isa.WIDE
            last["rows"], last["cols"], last["stride"] = 1, size, 0
            last["dram"] = start * isa.FACTOR_BYTES
            made.append(last)
    return np.concatenate(made)


@lru_cache(maxsize=1024)
def operand_loads(
    m: int, n: int, k: int, transposed: bool, strides: tuple[int, int], which: tuple[bool, bool]
) -> tuple[Array, Array]:
    """mvins of the A and B tiles, by groups of 64 of k so that the array starts early.

    strides: bytes between rows of A and of B. which: load A, load B. Returns the instructions, with
    operand 0 for A and 1 for B, and which of them are B's.
    """
    parts = []
    deep = ceil_div(k, BLOCK)
    for start, size in spans(k, ROW_BYTES):
        if which[0]:
            a = moves(isa.MVIN, m, size, strides[0], 1, 0, strides[0]).copy()
            a["local"] = a["other"] * deep + start // BLOCK * a["rows"].astype(np.uint32)
            a["dram"] += start
            parts.append(a)
        if which[1] and transposed:
            b = moves(isa.MVIN, n, size, strides[1], 1, 0, strides[1]).copy()
            b["local"] = b["other"] * deep + start // BLOCK * b["rows"].astype(np.uint32)
            b["dram"] += start
            b["operand"] = 1
            parts.append(b)
        elif which[1]:
            b = moves(isa.MVIN, size, n, strides[1], 1, 0, strides[1]).copy()
            b["local"] += start * ceil_div(n, BLOCK)
            b["dram"] += start * strides[1]
            b["operand"] = 1
            parts.append(b)
    joined = np.concatenate(parts)
    return joined, joined["operand"] == 1
