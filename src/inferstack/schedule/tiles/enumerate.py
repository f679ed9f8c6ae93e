"""Compiled search over tiled schedules: each is evaluated, or proven not to be better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.compiled import compiled
from inferstack.cost.programs import packed as at
from inferstack.cost.programs.dma import up
from inferstack.cost.programs.steps import cycles_of, least_cycles

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

CYCLES, ENERGY, EDP, DRAM = range(4)

EVALUATED, BOUNDED, DOMINATED, MISFITS = range(4)


@compiled
def _blocks(extent: int, step: int, block: int) -> int:
    """Blocks of a dimension, tile by tile."""
    full, rest = extent // step, extent % step
    return full * up(step, block) + up(rest, block)


@compiled
def fits(tm: int, tn: int, tk: int, q: Array, p: Array) -> bool:
    """Whether a tile generation fits; edges are padded to whole blocks."""
    k, n = up(tk, p[at.BK]) * p[at.BK], up(tn, p[at.BN]) * p[at.BN]
    inputs, weights = up(tm * k * q[at.IN], 8), up(k * n * q[at.WEIGHT], 8)
    if up(tm * n * p[at.RESULT], 8) > p[at.LIMIT_OUT]:
        return False
    if p[at.SHARED]:
        return bool(inputs + weights <= p[at.LIMIT_IN])
    return bool(inputs <= p[at.LIMIT_IN] and weights <= p[at.LIMIT_WEIGHT])


@compiled
def _sweeps(operand: int, order: Array, trips: Array) -> int:
    """How often an operand (0 input, 1 weight, 2 output) is swept."""
    other = 1 - operand if operand < 2 else 2
    inside = False
    for position in range(2, -1, -1):
        dim = order[position]
        if dim == other:
            return trips[dim] if inside else 1
        inside = inside or trips[dim] > 1
    return 1


@compiled
def _array_weights(tn: int, tk: int, order: Array, trips: Array, q: Array, p: Array) -> int:
    """Weights that go into the array: each block once per tile of m, unless it still is there."""
    n, k = q[at.N], q[at.K]
    inside = _sweeps(1, order, trips) > 1
    total, blocks = 0, 0
    for last_n in range(2):
        count_n = 1 if last_n else trips[1] - 1
        size_n = n - (trips[1] - 1) * tn if last_n else tn
        for last_k in range(2):
            count_k = 1 if last_k else trips[2] - 1
            size_k = k - (trips[2] - 1) * tk if last_k else tk
            blocks = up(size_n, p[at.BN]) * up(size_k, p[at.BK])
            again = trips[0] if inside or blocks > 1 else 1
            total += count_n * count_k * again * size_n * size_k
    single = trips[1] * trips[2] == 1 and blocks == 1
    elements: int = total * (q[at.WEIGHT_BATCH] if single else q[at.BATCH])
    return elements


@compiled
def moved_elements(tm: int, tn: int, tk: int, order: Array, q: Array, p: Array, out: Array) -> None:
    """Elements that cross: 0, 1: DRAM to input and weight; 2: output to DRAM; 3-5: at the array."""
    trips = np.array([up(q[at.M], tm), up(q[at.N], tn), up(q[at.K], tk)])
    a, b, c = q[at.M] * q[at.K], q[at.K] * q[at.N], q[at.M] * q[at.N]
    if q[at.INPUT_STAYS]:
        out[0] = q[at.BATCH] * a
    else:
        out[0] = q[at.BATCH] * a * (trips[1] if q[at.INPUT_AGAIN] else _sweeps(0, order, trips))
    if q[at.WEIGHT_AGAIN]:
        out[1] = q[at.BATCH] * b * trips[0]
    elif q[at.WEIGHT_STAYS]:
        out[1] = q[at.WEIGHT_BATCH] * b
    else:
        held = trips[1] * trips[2] == 1
        out[1] = b * (q[at.WEIGHT_BATCH] if held else q[at.BATCH] * _sweeps(1, order, trips))
    out[2] = q[at.BATCH] * c * _sweeps(2, order, trips)
    out[3] = q[at.BATCH] * a * _blocks(q[at.N], tn, p[at.BN])
    out[4] = _array_weights(tn, tk, order, trips, q, p)
    out[5] = q[at.BATCH] * c * _blocks(q[at.K], tk, p[at.BK])


@compiled
def _dram_and_energy(
    tm: int, tn: int, q: Array, p: Array, e: Array, moved: Array, cost: Array
) -> None:
    """Fills cost[ENERGY] and cost[DRAM] from the moved elements."""
    result = q[at.BATCH] * q[at.M] * q[at.N]
    addends = q[at.RESIDUALS] + (1 if q[at.BIAS] > 0 else 0)
    back = moved[2] - result
    reads = moved[0] * q[at.IN] + moved[1] * q[at.WEIGHT] + back * q[at.SUM]
    reads += q[at.BATCH] * _blocks(q[at.M], tm, p[at.ROWS]) * q[at.N] * q[at.BIAS]
    reads += result * q[at.RESIDUAL]
    reads += q[at.BATCH] * q[at.M] * up(q[at.N], tn) * q[at.ROW_READS]
    writes = back * q[at.SUM] + result * q[at.OUT]
    writes += q[at.BATCH] * q[at.M] * q[at.ROW_WRITES]
    energy = (reads * e[0] + writes * e[1]) / 8.0
    energy += (moved[3] * e[2] + moved[0] * e[3]) * q[at.IN] / 8.0
    energy += (moved[4] * e[4] + moved[1] * e[5]) * q[at.WEIGHT] / 8.0
    summed = moved[5] - result + addends * result
    energy += (summed + moved[2]) * e[6] * p[at.RESULT] / 8.0
    energy += (moved[5] + back + addends * result) * e[7] * p[at.RESULT] / 8.0
    cost[ENERGY] = energy + q[at.BATCH] * q[at.M] * q[at.N] * q[at.K] * e[8] + e[9]
    cost[DRAM] = (reads + writes) / 8.0


@compiled
def cost_of(
    tm: int, tn: int, tk: int, order: Array, q: Array, p: Array, e: Array, cost: Array
) -> None:
    """Fills cost: cycles, energy (pJ), their product, DRAM bytes."""
    moved = np.empty(6, dtype=np.int64)
    moved_elements(tm, tn, tk, order, q, p, moved)
    _dram_and_energy(tm, tn, q, p, e, moved, cost)
    cost[CYCLES] = np.ceil(cycles_of(tm, tn, tk, order, q, p))
    cost[EDP] = cost[CYCLES] * cost[ENERGY]


@compiled
def _canonical(order: int, trips: Array) -> bool:
    """Whether no earlier order walks the same tiles: loops of one trip may stand anywhere."""
    for earlier in range(order):
        same, place = True, 0
        for position in range(3):
            dim = at.ORDER_DIMS[order, position]
            if trips[dim] == 1:
                continue
            while trips[at.ORDER_DIMS[earlier, place]] == 1:
                place += 1
            same = same and at.ORDER_DIMS[earlier, place] == dim
            place += 1
        if same:
            return False
    return True


@compiled
def search(
    options_m: Array,
    options_n: Array,
    options_k: Array,
    objective: int,
    q: Array,
    p: Array,
    e: Array,
    rest: Array,
    prune: bool,
    best: Array,
    counts: Array,
) -> float:
    """Fills best (tm, tn, tk, order) and counts; returns the least value, -1 if nothing fits.

    Ties go to fewer cycles, then to fewer bytes of DRAM, then to the first in the order of the
    options. rest: cycles and energy that come on top of each. prune False evaluates whatever fits.
    """
    cost, moved = np.empty(4), np.empty(6, dtype=np.int64)
    trips = np.empty(3, dtype=np.int64)
    found = np.array([-1.0, -1.0, -1.0])
    # Options rise, and so does what a tile needs: behind the first misfit, all are.
    for tm in options_m:
        trips[0] = up(q[at.M], tm)
        for j, tn in enumerate(options_n):
            if not fits(tm, tn, options_k[0], q, p):
                counts[MISFITS] += 6 * (len(options_n) - j) * len(options_k)
                break
            trips[1] = up(q[at.N], tn)
            for index, tk in enumerate(options_k):
                if not fits(tm, tn, tk, q, p):
                    counts[MISFITS] += 6 * (len(options_k) - index)
                    break
                trips[2] = up(q[at.K], tk)
                least = least_cycles(tm, tn, tk, q, p)
                for order in range(6):
                    if prune and not _canonical(order, trips):
                        counts[DOMINATED] += 1
                        continue
                    dims = at.ORDER_DIMS[order]
                    moved_elements(tm, tn, tk, dims, q, p, moved)
                    _dram_and_energy(tm, tn, q, p, e, moved, cost)
                    if prune and found[0] >= 0:
                        # Every byte takes its share of the bus.
                        bound = np.floor(max(least, cost[DRAM] / p[at.BUS]))
                        if _value(objective, bound, cost, rest) > found[0]:
                            counts[BOUNDED] += 1
                            continue
                    counts[EVALUATED] += 1
                    cycles = np.ceil(cycles_of(tm, tn, tk, dims, q, p))
                    value = _value(objective, cycles, cost, rest)
                    better = found[0] < 0 or value < found[0]
                    if value == found[0]:
                        better = cycles < found[1] or (cycles == found[1] and cost[DRAM] < found[2])
                    if better:
                        found[0], found[1], found[2] = value, cycles, cost[DRAM]
                        best[0], best[1], best[2], best[3] = tm, tn, tk, order
    return float(found[0])


@compiled
def _value(objective: int, cycles: float, cost: Array, rest: Array) -> float:
    if objective == CYCLES:
        return cycles
    if objective == ENERGY:
        return float(cost[ENERGY])
    if objective == EDP:
        return float((cycles + rest[0]) * (cost[ENERGY] + rest[1]))
    return float(cost[DRAM])
