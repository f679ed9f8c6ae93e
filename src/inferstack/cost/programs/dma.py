"""Compiled arithmetic of one tile's DMA work: loads, stores, and both side by side on the bus.

The DMA serves one request per row of at most `request_bytes`: a request takes the bus for its
beats, and no more than `in_flight` are under way, so that it takes at least (latency + beats) /
in_flight; an instruction (16 rows) holds an entry of its queue until its last row has arrived.
Loads and stores share the bus and overlap in the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferstack.core.compiled import compiled
from inferstack.cost.programs import packed as at

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@compiled
def up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


@compiled
def move(
    rows: int, row_bytes: int, piece: int, latency: int, entries: int, p: Array
) -> tuple[float, int]:
    """(cycles of the engine, beats on the bus) of a matrix, in pieces of `piece` bytes."""
    beats_full = up(piece, p[at.BUS])
    full, rest = row_bytes // piece, row_bytes % piece
    height = min(rows, p[at.ROWS])
    groups = rows / height if height > 0 else 0.0
    beats = rows * full * beats_full
    each = max(
        float(height * beats_full),
        height * (latency + beats_full) / p[at.FLIGHT],
        (height * beats_full + latency) / entries,
    )
    cycles = groups * full * each
    if rest > 0:
        last = up(rest, p[at.BUS])
        beats += rows * last
        each = max(
            float(height * last),
            height * (latency + last) / p[at.FLIGHT],
            (height * last + latency) / entries,
        )
        cycles += groups * each
    return cycles, beats


@compiled
def load_input(tm: int, tk: int, q: Array, p: Array) -> tuple[float, int]:
    """Loads of an input tile."""
    return move(tm, up(tk * q[at.IN], 8), p[at.REQUEST], p[at.READ], p[at.LOADS], p)


@compiled
def load_weight(tn: int, tk: int, q: Array, p: Array) -> tuple[float, int]:
    """Loads of a weight tile."""
    if q[at.TRANSPOSED]:
        return move(tn, up(tk * q[at.WEIGHT], 8), p[at.REQUEST], p[at.READ], p[at.LOADS], p)
    return move(tk, up(tn * q[at.WEIGHT], 8), p[at.REQUEST], p[at.READ], p[at.LOADS], p)


@compiled
def load_sums(tm: int, tn: int, fresh: bool, q: Array, p: Array) -> tuple[float, int]:
    """Loads into the accumulator before a tile's products: bias and residuals, or partial sums."""
    if not fresh:
        return move(tm, up(tn * q[at.SUM], 8), p[at.REQUEST], p[at.READ], p[at.LOADS], p)
    cycles, beats = 0.0, 0
    if q[at.BIAS] > 0:
        # One row per block row, written to all of its rows: an instruction is one request.
        row_bytes = up(tn * q[at.BIAS], 8)
        count = up(tm, p[at.ROWS]) * up(row_bytes, p[at.REQUEST])
        size = up(min(row_bytes, p[at.REQUEST]), p[at.BUS])
        height = min(tm, p[at.ROWS])
        each = max(
            float(size),
            (p[at.READ] + size) / p[at.FLIGHT],
            (p[at.READ] + size + height) / p[at.LOADS],
        )
        cycles += count * each
        beats += count * size
    if q[at.RESIDUALS] > 0:
        row_bytes = up(tn * q[at.RESIDUAL], 8 * q[at.RESIDUALS])
        more, also = move(tm, row_bytes, p[at.REQUEST], p[at.READ], p[at.LOADS], p)
        cycles += q[at.RESIDUALS] * more
        beats += q[at.RESIDUALS] * also
    return cycles, beats


@compiled
def store_rows(tm: int, tn: int, bits: int, final: bool, p: Array) -> tuple[float, int, int, float]:
    """Stores of tm x tn elements: (cycles of the queue, beats, requests, cycles off the bus)."""
    row_bytes, piece = up(tn * bits, 8), p[at.BN] * bits // 8
    cycles, beats = move(tm, row_bytes, piece, p[at.WRITE], p[at.STORES], p)
    blocks = up(tn, p[at.BN])
    cycles = max(cycles, float(tm * blocks * (p[at.PORT] if final else 1)))
    aside = 0.0
    if final and p[at.STATISTICS] > 0:
        lanes = blocks * up(p[at.BN], p[at.LANES])
        aside = float(tm * (p[at.STATISTICS] * lanes + p[at.OVERHEAD]))
    requests = tm * blocks
    if final and p[at.FACTORS] > 0:
        # One request behind each group of rows.
        groups, wide = up(tm, p[at.ROWS]), up(min(tm, p[at.ROWS]) * p[at.FACTORS], p[at.BUS])
        cycles += groups * max(float(wide), (wide + p[at.WRITE]) / p[at.STORES])
        beats, requests = beats + groups * wide, requests + groups
    return cycles + aside, beats, requests, aside


@compiled
def store_tile(tm: int, tn: int, final: bool, q: Array, p: Array) -> tuple[float, int, int, float]:
    """Stores of an output tile: results, behind the factors of its rows, or partial sums."""
    cycles, beats, requests, aside = store_rows(tm, tn, q[at.OUT] if final else q[at.SUM], final, p)
    if final and q[at.ROW_READS] > 0:
        # The store queue waits for one read of all of them.
        wide = up(tm * q[at.ROW_READS], 8 * p[at.BUS])
        cycles, aside = cycles + wide + p[at.READ], aside + p[at.READ]
        beats, requests = beats + wide, requests + 1
    return cycles, beats, requests, aside


@compiled
def compute_tile(tm: int, tn: int, tk: int, p: Array) -> int:
    """Cycles of the block products of a tile."""
    height = min(tm, p[at.ROWS])
    rows = up(tm, p[at.ROWS]) * max(p[at.PASS], height)
    cycles: int = rows * up(tn, p[at.BN]) * up(tk, p[at.BK])
    return cycles


@compiled
def sizes(extent: int, step: int) -> tuple[int, int]:
    """(trips, size of the last one)."""
    trips = up(extent, step)
    return trips, extent - (trips - 1) * step


@compiled
def pace_beside_loads(
    loads: float, load_beats: float, stores: float, store_beats: float, requests: float, p: Array
) -> float:
    """Cycles per request of the stores while loads are under way: requests take turns on the bus.

    stores: cycles of the requests alone.
    """
    turn = p[at.REQUEST] / p[at.BUS]
    alone = stores / requests
    return float(max(alone, turn * load_beats / loads + store_beats / requests))


@compiled
def together(
    loads: float,
    load_beats: float,
    stores: float,
    store_beats: float,
    requests: float,
    aside: float,
    p: Array,
) -> float:
    """Cycles of loads and stores side by side.

    While loads are under way, each of the `requests` of the stores waits for one of them; loads go
    on in the cycles that stores spend aside (statistics). When they are done, stores run alone.
    """
    if requests <= 0.0 or loads <= 0.0:
        return loads + stores
    alone = (stores - aside) / requests
    shared = pace_beside_loads(loads, load_beats, stores - aside, store_beats, requests, p)
    done = aside + requests * p[at.REQUEST] / p[at.BUS]
    if loads > done:
        cycles = aside + requests * shared + loads - done
    else:
        cycles = stores + loads / done * requests * (shared - alone)
    return float(max(cycles, load_beats + store_beats))
