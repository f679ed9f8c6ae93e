"""Cycles of a tiled schedule, as a sum over its steps.

A tiled schedule walks tiles (tm, tn, tk) in one order of the three loops, for every matrix product
of a batch. A step is one tile: the products of its blocks, while the DMA brings what the next tile
needs that is not there yet and takes away the output tile that the step before has finished. A
step lasts as long as the slower of the two; the first loads and the last stores stand in front and
behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.compiled import compiled
from inferstack.cost.programs import packed as at
from inferstack.cost.programs.dma import (
    compute_tile,
    load_input,
    load_sums,
    load_weight,
    pace_beside_loads,
    sizes,
    store_tile,
    together,
    up,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@compiled
def first_group(tm: int, tn: int, tk: int, q: Array, p: Array) -> float:
    """Cycles until the array has what its first block needs: a group of k of A, then of B."""
    depth = min(tk, p[at.REQUEST] * 8 // q[at.IN])
    cycles = load_input(tm, depth, q, p)[0]
    if q[at.TRANSPOSED]:
        return cycles + load_weight(min(tn, p[at.BN]), depth, q, p)[0]
    return cycles + load_weight(tn, min(tk, p[at.BK]), q, p)[0]


@compiled
def drain(tm: int, tn: int, q: Array, p: Array) -> float:
    """Cycles after the last product until the last output tile is in DRAM.

    The last sweep over the blocks finishes them column by column; their stores overlap with it.
    A softmax or LayerNorm needs the last column first.
    """
    rows = up(tm, p[at.ROWS])
    sweep = rows * up(tn, p[at.BN]) * p[at.PASS]
    stores = store_tile(tm, tn, True, q, p)[0]
    hidden = float((rows - 1) * p[at.PASS] if q[at.WHOLE] else sweep - p[at.PASS])
    least = store_tile(min(tm, p[at.ROWS]), tn if q[at.WHOLE] else min(tn, p[at.BN]), True, q, p)[0]
    cycles: float = p[at.FILL] + max(stores - hidden, least) + p[at.WRITE]
    return cycles


@compiled
def _input_at(size: Array, q: Array, p: Array) -> tuple[float, int]:
    """Loads of the input for a tile of that size: all of it where it stays."""
    if q[at.INPUT_STAYS]:
        return load_input(q[at.M], q[at.K], q, p)
    return load_input(size[0], size[2], q, p)


@compiled
def _weight_at(size: Array, q: Array, p: Array) -> tuple[float, int]:
    """Loads of the weight for a tile of that size: all of it where it stays."""
    if q[at.WEIGHT_STAYS]:
        return load_weight(q[at.N], q[at.K], q, p)
    return load_weight(size[1], size[2], q, p)


@compiled
def _stores_aside(
    tile: Array,
    depth: int,
    steps: int,
    stores: float,
    store_beats: float,
    requests: float,
    aside: float,
    q: Array,
    p: Array,
) -> tuple[float, float]:
    """(cycles lost, stores left) when stores go on beside the next steps of the same output tile.

    A load may wait for a store each time, and the reverse: what a step then lasts longer than its
    products is lost.
    """
    work = float(compute_tile(tile[0], tile[1], depth, p))
    loads, load_beats = 0.0, 0.0
    if not q[at.INPUT_STAYS]:
        loads, load_beats = load_input(tile[0], depth, q, p)
    if not q[at.WEIGHT_STAYS]:
        cycles, beats = load_weight(tile[1], depth, q, p)
        loads, load_beats = loads + cycles, load_beats + beats
    if loads <= 0.0:
        return 0.0, max(0.0, stores - steps * work)
    shared = pace_beside_loads(loads, load_beats, stores - aside, store_beats, requests, p)
    slow = aside + requests * shared
    pace, load_pace = stores / slow, (aside + requests * p[at.REQUEST] / p[at.BUS]) / slow
    lost = 0.0
    for _ in range(steps):
        both = min(loads / load_pace, stores / pace)
        busy = both + max(0.0, loads - both * load_pace)
        lost += max(0.0, busy - work)
        stores -= both * pace + max(0.0, max(work, busy) - busy)
        if stores <= 1e-9 or loads > work:
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
    loads, load_beats, stores, store_beats = 0.0, 0.0, 0.0, 0.0
    requests, aside, excess, waits = 0.0, 0.0, 0.0, False
    if moved[0]:
        loads, load_beats = _input_at(then, q, p)
    if moved[1]:
        cycles, beats = _weight_at(then, q, p)
        loads, load_beats = loads + cycles, load_beats + beats
    if moved[2]:
        stores, store_beats, requests, aside = store_tile(now[0], now[1], final, q, p)
        cycles, beats = load_sums(then[0], then[1], fresh, q, p)
        loads, load_beats = loads + cycles, load_beats + beats
        waits = beats > 0 and lives == 0
        if lives > 0:
            # Loads into the next tile's place wait, one step ahead, for these stores.
            room = lives - 1 if beats > 0 else lives
            excess, left = _stores_aside(
                then, depth, room, stores, store_beats, requests, aside, q, p
            )
            share = left / stores
            stores, store_beats = left, store_beats * share
            requests, aside = requests * share, aside * share
    work = float(compute_tile(now[0], now[1], now[2], p))
    if waits:
        # Loads into the accumulator wait for the stores of what was there.
        each, first = loads + stores, loads + stores + carry
    else:
        each = together(loads, load_beats, stores, store_beats, requests, aside, p)
        more, beats_more = loads + carry, load_beats + carry
        first = together(more, beats_more, stores, store_beats, requests, aside, p)
    # Loads hide behind the products of this tile; whole rows, long on their way, behind the next's.
    behind = work
    if moved[2] and lives == 0 and q[at.WHOLE] and stores > loads:
        behind = float(compute_tile(then[0], then[1], then[2], p))
    lost = max(0.0, first - behind) + (count - 1) * max(0.0, each - behind)
    return count * work + lost + excess * count


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
            (changed[0] or changed[2] or q[at.INPUT_AGAIN]) and not q[at.INPUT_STAYS],
            (changed[1] or changed[2] or q[at.WEIGHT_AGAIN]) and not q[at.WEIGHT_STAYS],
            changed[0] or changed[1],
        ]
    )
    lives = _lives(order, trips)
    for outer in range(3**level):
        times, rest = q[at.BATCH], outer
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
    new_weights = q[at.WEIGHT_BATCH] - 1
    moved = np.array([True, True, True])
    for kept in range(2):
        count = q[at.BATCH] - 1 - new_weights if kept else new_weights
        many = trips[1] * trips[2] > 1 or q[at.WEIGHT_AGAIN]
        moved[1] = kept == 0 or (many and not q[at.WEIGHT_STAYS])
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
        trips[dim], last[dim] = sizes(q[dim], step[dim])
        start[dim] = last[dim] if trips[dim] == 1 else step[dim]
    whole = _input_at(start, q, p)[0] + _weight_at(start, q, p)[0]
    first = first_group(start[0], start[1], start[2], q, p)
    carry = max(0.0, whole - first)
    total: float = p[at.READ] + load_sums(start[0], start[1], True, q, p)[0] + first
    for level in range(2, -1, -1):
        if trips[order[level]] > 1:
            total += _advances(level, order, step, trips, last, q, p, carry)
            carry = 0.0
    if q[at.BATCH] > 1:
        total += _renewals(_lives(order, trips), trips, last, start, q, p, carry)
        carry = 0.0
    work = float(compute_tile(last[0], last[1], last[2], p))
    if carry > 0.0:
        depth = min(last[2], p[at.REQUEST] * 8 // q[at.IN])
        work = max(work, carry + compute_tile(last[0], last[1], depth, p))
    return total + work + drain(last[0], last[1], q, p)


@compiled
def least_cycles(tm: int, tn: int, tk: int, q: Array, p: Array) -> float:
    """No order of these tiles takes fewer cycles: first loads, all products, last stores."""
    trips, last = np.empty(3, dtype=np.int64), np.empty(3, dtype=np.int64)
    start, step = np.empty(3, dtype=np.int64), np.array([tm, tn, tk])
    for dim in range(3):
        trips[dim], last[dim] = sizes(q[dim], step[dim])
        start[dim] = last[dim] if trips[dim] == 1 else step[dim]
    total: float = p[at.READ] + load_sums(start[0], start[1], True, q, p)[0]
    total += first_group(start[0], start[1], start[2], q, p)
    products = 1
    for dim, block, cost in ((0, p[at.ROWS], p[at.PASS]), (1, p[at.BN], 1), (2, p[at.BK], 1)):
        count = (trips[dim] - 1) * up(step[dim], block) + up(last[dim], block)
        products *= count * cost
    total += q[at.BATCH] * products + drain(last[0], last[1], q, p)
    return total
