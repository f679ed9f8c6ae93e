"""Compiled arithmetic of tiled schedules: traffic in closed form, and cycles as a sum over steps.

A tiled schedule walks tiles (tm, tn, tk) in one order of the three loops, for every matrix product
of a batch. A step is one tile: the products of its blocks, while the DMA brings what the next tile
needs that is not there yet and takes away the output tile that the step before has finished. A
step lasts as long as the slower of the two; the first loads and the last stores stand in front and
behind.

The DMA serves one request per row of at most `request_bytes`: a request takes the bus for its
beats, and no more than `in_flight` are under way, so that it takes at least (latency + beats) /
in_flight; an instruction (16 rows) holds an entry of its queue until its last row has arrived.
Loads and stores share the bus and overlap in the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.compiled import compiled

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

PROBLEM = (
    "m",
    "n",
    "k",
    "batch",
    "weight_batch",
    "input_bits",
    "weight_bits",
    "output_bits",
    "partial_sum_bits",
    "weight_transposed",
    "bias_bits",
    "residuals",
    "residual_bits",
    "whole_rows",
    "store_table_bytes",
    "input_stays",
    "weight_stays",
    "input_again",
    "weight_again",
)
"""batch: matrix products. weight_batch: how often the weight changes among them. bias_bits: 0
without. residuals: tensors of residual_bits added to the output in the accumulator. whole_rows: 1
where a softmax or LayerNorm on the way out needs n whole. store_table_bytes: scales that the store
queue reads when it turns from partial sums to results. input_stays, weight_stays: 1 where the
whole operand of a matrix product is loaded at once and kept; _again: where a tile is loaded at
every step."""

MACHINE = (
    "block_k",
    "block_n",
    "pass_cycles",
    "fill_cycles",
    "bus_bytes",
    "request_bytes",
    "in_flight",
    "read_latency",
    "write_latency",
    "load_entries",
    "store_entries",
    "block_rows",
    "lanes",
    "port_cycles",
    "statistics_passes",
    "row_overhead",
    "input_limit",
    "weight_limit",
    "output_limit",
    "shared",
    "result_bits",
)
"""port_cycles: of the accumulator's read port per row of a block that is written.
statistics_passes: reads of the row before that. limits: bytes of one tile generation; where shared
is 1, inputs and weights share input_limit. result_bits: width of a partial sum in the output's
level."""

(_M, _N, _K, _BATCH, _WEIGHT_BATCH, _IN, _WEIGHT, _OUT, _SUM, _TRANSPOSED, _BIAS, _RESIDUALS) = (
    range(12)
)
_RESIDUAL, _WHOLE, _TABLE, _INPUT_STAYS, _WEIGHT_STAYS, _INPUT_AGAIN, _WEIGHT_AGAIN = range(12, 19)
(_BK, _BN, _PASS, _FILL, _BUS, _REQUEST, _FLIGHT, _READ, _WRITE, _LOADS, _STORES, _ROWS) = range(12)
(_LANES, _PORT, _STATISTICS, _OVERHEAD, _LIMIT_IN, _LIMIT_WEIGHT, _LIMIT_OUT, _SHARED, _RESULT) = (
    range(12, 21)
)

ORDERS = ("mnk", "mkn", "nmk", "nkm", "kmn", "knm")
ORDER_DIMS = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
"""ORDERS as indices into (m, n, k), outermost first."""


@compiled
def _up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


@compiled
def move(
    rows: int, row_bytes: int, piece: int, latency: int, entries: int, p: Array
) -> tuple[float, int]:
    """(cycles of the engine, beats on the bus) of a matrix, in pieces of `piece` bytes."""
    beats_full = _up(piece, p[_BUS])
    full, rest = row_bytes // piece, row_bytes % piece
    height = min(rows, p[_ROWS])
    groups = rows / height if height > 0 else 0.0
    beats = rows * full * beats_full
    each = max(
        float(height * beats_full),
        height * (latency + beats_full) / p[_FLIGHT],
        (height * beats_full + latency) / entries,
    )
    cycles = groups * full * each
    if rest > 0:
        last = _up(rest, p[_BUS])
        beats += rows * last
        each = max(
            float(height * last),
            height * (latency + last) / p[_FLIGHT],
            (height * last + latency) / entries,
        )
        cycles += groups * each
    return cycles, beats


@compiled
def load_input(tm: int, tk: int, q: Array, p: Array) -> tuple[float, int]:
    """Loads of an input tile."""
    return move(tm, _up(tk * q[_IN], 8), p[_REQUEST], p[_READ], p[_LOADS], p)


@compiled
def load_weight(tn: int, tk: int, q: Array, p: Array) -> tuple[float, int]:
    """Loads of a weight tile."""
    if q[_TRANSPOSED]:
        return move(tn, _up(tk * q[_WEIGHT], 8), p[_REQUEST], p[_READ], p[_LOADS], p)
    return move(tk, _up(tn * q[_WEIGHT], 8), p[_REQUEST], p[_READ], p[_LOADS], p)


@compiled
def load_sums(tm: int, tn: int, fresh: bool, q: Array, p: Array) -> tuple[float, int]:
    """Loads into the accumulator before a tile's products: bias and residuals, or partial sums."""
    if not fresh:
        return move(tm, _up(tn * q[_SUM], 8), p[_REQUEST], p[_READ], p[_LOADS], p)
    cycles, beats = 0.0, 0
    if q[_BIAS] > 0:
        # One row per block row, written to all of its rows: an instruction is one request.
        row_bytes = _up(tn * q[_BIAS], 8)
        count = _up(tm, p[_ROWS]) * _up(row_bytes, p[_REQUEST])
        size = _up(min(row_bytes, p[_REQUEST]), p[_BUS])
        height = min(tm, p[_ROWS])
        each = max(
            float(size), (p[_READ] + size) / p[_FLIGHT], (p[_READ] + size + height) / p[_LOADS]
        )
        cycles += count * each
        beats += count * size
    if q[_RESIDUALS] > 0:
        piece = max(p[_BN] * q[_RESIDUAL] // 8, p[_REQUEST])
        more, also = move(tm, _up(tn * q[_RESIDUAL], 8), piece, p[_READ], p[_LOADS], p)
        cycles += q[_RESIDUALS] * more
        beats += q[_RESIDUALS] * also
    return cycles, beats


@compiled
def store_tile(tm: int, tn: int, final: bool, q: Array, p: Array) -> tuple[float, int]:
    """Stores of an output tile: (cycles of the store queue, beats on the bus)."""
    bits = q[_OUT] if final else q[_SUM]
    row_bytes, piece = _up(tn * bits, 8), p[_BN] * bits // 8
    cycles, beats = move(tm, row_bytes, piece, p[_WRITE], p[_STORES], p)
    blocks = _up(tn, p[_BN])
    port = tm * blocks * (p[_PORT] if final else 1)
    cycles = max(cycles, float(port))
    if final and p[_STATISTICS] > 0:
        lanes = blocks * _up(p[_BN], p[_LANES])
        cycles += tm * (p[_STATISTICS] * lanes + p[_OVERHEAD])
    return cycles, beats


@compiled
def compute_tile(tm: int, tn: int, tk: int, p: Array) -> int:
    """Cycles of the block products of a tile."""
    height = min(tm, p[_ROWS])
    rows = _up(tm, p[_ROWS]) * max(p[_PASS], height)
    cycles: int = rows * _up(tn, p[_BN]) * _up(tk, p[_BK])
    return cycles


@compiled
def _sizes(extent: int, step: int) -> tuple[int, int]:
    """(trips, size of the last one)."""
    trips = _up(extent, step)
    return trips, extent - (trips - 1) * step


@compiled
def first_group(tm: int, tn: int, tk: int, q: Array, p: Array) -> float:
    """Cycles until the array has what its first block needs: a group of k of A, then of B."""
    depth = min(tk, p[_REQUEST] * 8 // q[_IN])
    cycles = load_input(tm, depth, q, p)[0]
    if q[_TRANSPOSED]:
        return cycles + load_weight(min(tn, p[_BN]), depth, q, p)[0]
    return cycles + load_weight(tn, min(tk, p[_BK]), q, p)[0]


@compiled
def drain(tm: int, tn: int, q: Array, p: Array) -> float:
    """Cycles after the last product until the last output tile is in DRAM.

    The last sweep over the blocks finishes them column by column; their stores overlap with it.
    A softmax or LayerNorm needs the last column first.
    """
    rows = _up(tm, p[_ROWS])
    sweep = rows * _up(tn, p[_BN]) * p[_PASS]
    stores = store_tile(tm, tn, True, q, p)[0]
    hidden = float((rows - 1) * p[_PASS] if q[_WHOLE] else sweep - p[_PASS])
    least = store_tile(min(tm, p[_ROWS]), tn if q[_WHOLE] else min(tn, p[_BN]), True, q, p)[0]
    cycles: float = p[_FILL] + max(stores - hidden, least) + p[_WRITE]
    return cycles


@compiled
def _together(
    loads: float, load_beats: float, stores: float, store_beats: float, sums: bool
) -> float:
    """Loads and stores side by side; loads into the accumulator wait for the stores before them."""
    if sums:
        return loads + stores
    return max(loads, stores, load_beats + store_beats)


@compiled
def _input_at(size: Array, q: Array, p: Array) -> tuple[float, int]:
    """Loads of the input for a tile of that size: all of it where it stays."""
    if q[_INPUT_STAYS]:
        return load_input(q[_M], q[_K], q, p)
    return load_input(size[0], size[2], q, p)


@compiled
def _weight_at(size: Array, q: Array, p: Array) -> tuple[float, int]:
    """Loads of the weight for a tile of that size: all of it where it stays."""
    if q[_WEIGHT_STAYS]:
        return load_weight(q[_N], q[_K], q, p)
    return load_weight(size[1], size[2], q, p)


@compiled
def _stores_aside(
    tile: Array, depth: int, steps: int, stores: float, final: bool, q: Array, p: Array
) -> tuple[float, float]:
    """(cycles lost, stores left) when stores go on beside the next steps of the same output tile.

    Requests take turns, so that a load may wait for a store each time: what a step then lasts
    longer than its products is lost.
    """
    work = float(compute_tile(tile[0], tile[1], depth, p))
    loads = 0.0 if q[_INPUT_STAYS] else load_input(tile[0], depth, q, p)[0]
    loads += 0.0 if q[_WEIGHT_STAYS] else load_weight(tile[1], depth, q, p)[0]
    row_bytes = p[_BN] * (q[_OUT] if final else q[_SUM]) // 8
    ratio = _up(row_bytes, p[_BUS]) / _up(p[_REQUEST], p[_BUS])
    lost = 0.0
    for _ in range(steps):
        slower = max(0.0, loads + min(stores, ratio * loads) - work)
        lost += slower
        stores -= max(0.0, work + slower - loads)
        if stores <= 0.0 or loads > work:
            break
    return lost, max(0.0, stores)


@compiled
def _step(
    moved: Array,
    now: Array,
    then: Array,
    fresh: bool,
    final: bool,
    lives: int,
    depth: int,
    count: int,
    carry: float,
    q: Array,
    p: Array,
) -> float:
    """Cycles of `count` equal steps: products of tile `now`, DMA work of going to `then`.

    moved: whether input, weight, output are other tiles. fresh: the next output tile starts from
    nothing; final: the one that leaves is complete. lives: further steps (of `depth` along k) that
    an output tile takes: the stores of the one before may go on in their idle time, and are long
    done when their place is needed. carry: loads left over from the first tile.
    """
    loads, load_beats, stores, store_beats, sums = 0.0, 0.0, 0.0, 0.0, False
    excess = 0.0
    if moved[0]:
        loads, load_beats = _input_at(then, q, p)
    if moved[1]:
        cycles, beats = _weight_at(then, q, p)
        loads, load_beats = loads + cycles, load_beats + beats
    if moved[2]:
        stores, store_beats = store_tile(now[0], now[1], final, q, p)
        cycles, beats = load_sums(then[0], then[1], fresh, q, p)
        loads, load_beats = loads + cycles, load_beats + beats
        sums = beats > 0 and lives == 0
        if lives > 0:
            # Loads into the next tile's place wait, one step ahead, for these stores.
            room = lives - 1 if beats > 0 else lives
            excess, stores = _stores_aside(then, depth, room, stores, final, q, p)
            store_beats = min(store_beats, stores)
    work = float(compute_tile(now[0], now[1], now[2], p))
    each = max(work, _together(loads, load_beats, stores, store_beats, sums)) + excess
    if carry == 0.0:
        return count * each
    first = max(work, _together(loads + carry, load_beats + carry, stores, store_beats, sums))
    return first + excess + (count - 1) * each


@compiled
def _place(place: int, dim: int, trips: Array) -> int:
    """How many indices of a loop are at place 0 (first), 1 (middle) or 2 (last).

    Only for k does the first differ from the middle; elsewhere place 0 stands for both.
    """
    if trips[dim] == 1:
        return 1 if place == 0 else 0
    if dim == 2:
        return trips[dim] - 2 if place == 1 else 1
    return (trips[dim] - 1, 0, 1)[place]


@compiled
def _lives(order: Array, trips: Array) -> int:
    """Further steps that an output tile takes: those of k, if it is the innermost that moves."""
    for position in range(2, -1, -1):
        if trips[order[position]] > 1:
            return int(trips[2] - 1) if order[position] == 2 else 0
    return 0


@compiled
def _advances(
    level: int,
    order: Array,
    step: Array,
    trips: Array,
    last: Array,
    q: Array,
    p: Array,
    carry: float,
) -> float:
    """Cycles of the steps after which the loop at `level` advances."""
    moving, total = order[level], 0.0
    now, then = np.empty(3, dtype=np.int64), np.empty(3, dtype=np.int64)
    changed = np.zeros(3, dtype=np.bool_)
    fresh = final = True
    for position in range(level, 3):
        dim = order[position]
        changed[dim] = trips[dim] > 1
        now[dim] = last[dim]
        then[dim] = last[dim] if trips[dim] == 1 else step[dim]
    now[moving] = step[moving]
    moved = np.array(
        [
            (changed[0] or changed[2] or q[_INPUT_AGAIN]) and not q[_INPUT_STAYS],
            (changed[1] or changed[2] or q[_WEIGHT_AGAIN]) and not q[_WEIGHT_STAYS],
            changed[0] or changed[1],
        ]
    )
    lives = _lives(order, trips)
    for outer in range(3**level):
        times, rest = q[_BATCH], outer
        fresh = final = moving != 2
        for position in range(level):
            dim, place = order[position], rest % 3
            rest //= 3
            times *= _place(place, dim, trips)
            now[dim] = last[dim] if place == 2 or trips[dim] == 1 else step[dim]
            then[dim] = now[dim]
            if dim == 2 and trips[2] > 1:
                fresh, final = place == 0, place == 2
        if times == 0:
            continue
        for end in range(2):
            count = times * (1 if end == 1 else trips[moving] - 2)
            then[moving] = last[moving] if end == 1 else step[moving]
            if count > 0:
                total += _step(moved, now, then, fresh, final, lives, step[2], count, carry, q, p)
                carry = 0.0
    return total


@compiled
def _renewals(
    lives: int, trips: Array, now: Array, then: Array, q: Array, p: Array, carry: float
) -> float:
    """Cycles of the steps between one matrix product of the batch and the next."""
    total = 0.0
    new_weights = q[_WEIGHT_BATCH] - 1
    moved = np.array([True, True, True])
    for kept in range(2):
        count = q[_BATCH] - 1 - new_weights if kept else new_weights
        many = trips[1] * trips[2] > 1 or q[_WEIGHT_AGAIN]
        moved[1] = kept == 0 or (many and not q[_WEIGHT_STAYS])
        if count > 0:
            total += _step(moved, now, then, True, True, lives, then[2], count, carry, q, p)
            carry = 0.0
    return total


@compiled
def cycles_of(tm: int, tn: int, tk: int, order: Array, q: Array, p: Array) -> float:
    """Predicted cycles of a tiled schedule. order: indices into (m, n, k), outermost first."""
    step = np.array([tm, tn, tk])
    trips, last = np.empty(3, dtype=np.int64), np.empty(3, dtype=np.int64)
    start = np.empty(3, dtype=np.int64)
    for dim in range(3):
        trips[dim], last[dim] = _sizes(q[dim], step[dim])
        start[dim] = last[dim] if trips[dim] == 1 else step[dim]
    whole = _input_at(start, q, p)[0] + _weight_at(start, q, p)[0]
    first = first_group(start[0], start[1], start[2], q, p)
    carry = max(0.0, whole - first)
    total: float = p[_READ] + load_sums(start[0], start[1], True, q, p)[0] + first
    for level in range(2, -1, -1):
        if trips[order[level]] > 1:
            total += _advances(level, order, step, trips, last, q, p, carry)
            carry = 0.0
    if q[_BATCH] > 1:
        total += _renewals(_lives(order, trips), trips, last, start, q, p, carry)
        carry = 0.0
    work = float(compute_tile(last[0], last[1], last[2], p))
    if carry > 0.0:
        depth = min(last[2], p[_REQUEST] * 8 // q[_IN])
        work = max(work, carry + compute_tile(last[0], last[1], depth, p))
    return total + work + drain(last[0], last[1], q, p)


@compiled
def least_cycles(tm: int, tn: int, tk: int, q: Array, p: Array) -> float:
    """No order of these tiles takes fewer cycles: first loads, all products, last stores."""
    trips, last = np.empty(3, dtype=np.int64), np.empty(3, dtype=np.int64)
    start, step = np.empty(3, dtype=np.int64), np.array([tm, tn, tk])
    for dim in range(3):
        trips[dim], last[dim] = _sizes(q[dim], step[dim])
        start[dim] = last[dim] if trips[dim] == 1 else step[dim]
    total: float = p[_READ] + load_sums(start[0], start[1], True, q, p)[0]
    total += first_group(start[0], start[1], start[2], q, p)
    products = 1
    for dim, block, cost in ((0, p[_ROWS], p[_PASS]), (1, p[_BN], 1), (2, p[_BK], 1)):
        count = (trips[dim] - 1) * _up(step[dim], block) + _up(last[dim], block)
        products *= count * cost
    total += q[_BATCH] * products + drain(last[0], last[1], q, p)
    return total
