"""Compiled search over tiled schedules: each is evaluated, or proven not to be better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.compiled import compiled
from inferstack.mapping import steps
from inferstack.mapping.steps import cycles_of, least_cycles

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

(_M, _N, _K, _BATCH, _WEIGHT_BATCH, _IN, _WEIGHT, _OUT, _SUM, _TRANSPOSED, _BIAS, _RESIDUALS) = (
    range(12)
)
_RESIDUAL, _WHOLE, _TABLE, _INPUT_STAYS, _WEIGHT_STAYS, _INPUT_AGAIN, _WEIGHT_AGAIN = range(12, 19)
(_BK, _BN, _PASS, _FILL, _BUS, _REQUEST, _FLIGHT, _READ, _WRITE, _LOADS, _STORES, _ROWS) = range(12)
(_LANES, _PORT, _STATISTICS, _OVERHEAD, _LIMIT_IN, _LIMIT_WEIGHT, _LIMIT_OUT, _SHARED, _RESULT) = (
    range(12, 21)
)
_ORDER_DIMS = steps.ORDER_DIMS
CYCLES, ENERGY, EDP, DRAM = range(4)
_CYCLES, _ENERGY, _EDP, _DRAM = CYCLES, ENERGY, EDP, DRAM

EVALUATED, BOUNDED, DOMINATED, MISFITS = range(4)
_EVALUATED, _BOUNDED, _DOMINATED, _MISFITS = EVALUATED, BOUNDED, DOMINATED, MISFITS


@compiled
def _up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


@compiled
def _blocks(extent: int, step: int, block: int) -> int:
    """Blocks of a dimension, tile by tile."""
    full, rest = extent // step, extent % step
    return full * _up(step, block) + _up(rest, block)


@compiled
def fits(tm: int, tn: int, tk: int, q: Array, p: Array) -> bool:
    """Whether a tile generation fits; edges are padded to whole blocks."""
    k, n = _up(tk, p[_BK]) * p[_BK], _up(tn, p[_BN]) * p[_BN]
    inputs, weights = _up(tm * k * q[_IN], 8), _up(k * n * q[_WEIGHT], 8)
    if _up(tm * n * p[_RESULT], 8) > p[_LIMIT_OUT]:
        return False
    if p[_SHARED]:
        return bool(inputs + weights <= p[_LIMIT_IN])
    return bool(inputs <= p[_LIMIT_IN] and weights <= p[_LIMIT_WEIGHT])


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
    n, k = q[_N], q[_K]
    inside = _sweeps(1, order, trips) > 1
    total, blocks = 0, 0
    for last_n in range(2):
        count_n = 1 if last_n else trips[1] - 1
        size_n = n - (trips[1] - 1) * tn if last_n else tn
        for last_k in range(2):
            count_k = 1 if last_k else trips[2] - 1
            size_k = k - (trips[2] - 1) * tk if last_k else tk
            blocks = _up(size_n, p[_BN]) * _up(size_k, p[_BK])
            again = trips[0] if inside or blocks > 1 else 1
            total += count_n * count_k * again * size_n * size_k
    single = trips[1] * trips[2] == 1 and blocks == 1
    elements: int = total * (q[_WEIGHT_BATCH] if single else q[_BATCH])
    return elements


@compiled
def moved_elements(tm: int, tn: int, tk: int, order: Array, q: Array, p: Array, out: Array) -> None:
    """Elements that cross: 0, 1: DRAM to input and weight; 2: output to DRAM; 3-5: at the array."""
    trips = np.array([_up(q[_M], tm), _up(q[_N], tn), _up(q[_K], tk)])
    a, b, c = q[_M] * q[_K], q[_K] * q[_N], q[_M] * q[_N]
    if q[_INPUT_STAYS]:
        out[0] = q[_BATCH] * a
    else:
        out[0] = q[_BATCH] * a * (trips[1] if q[_INPUT_AGAIN] else _sweeps(0, order, trips))
    if q[_WEIGHT_AGAIN]:
        out[1] = q[_BATCH] * b * trips[0]
    elif q[_WEIGHT_STAYS]:
        out[1] = q[_WEIGHT_BATCH] * b
    else:
        held = trips[1] * trips[2] == 1
        out[1] = b * (q[_WEIGHT_BATCH] if held else q[_BATCH] * _sweeps(1, order, trips))
    out[2] = q[_BATCH] * c * _sweeps(2, order, trips)
    out[3] = q[_BATCH] * a * _blocks(q[_N], tn, p[_BN])
    out[4] = _array_weights(tn, tk, order, trips, q, p)
    out[5] = q[_BATCH] * c * _blocks(q[_K], tk, p[_BK])


@compiled
def _dram_and_energy(tm: int, q: Array, p: Array, e: Array, moved: Array, cost: Array) -> None:
    """Fills cost[ENERGY] and cost[DRAM] from the moved elements."""
    result = q[_BATCH] * q[_M] * q[_N]
    addends = q[_RESIDUALS] + (1 if q[_BIAS] > 0 else 0)
    back = moved[2] - result
    reads = moved[0] * q[_IN] + moved[1] * q[_WEIGHT] + back * q[_SUM]
    reads += q[_BATCH] * _blocks(q[_M], tm, p[_ROWS]) * q[_N] * q[_BIAS]
    reads += q[_RESIDUALS] * result * q[_RESIDUAL]
    writes = back * q[_SUM] + result * q[_OUT]
    energy = (reads * e[0] + writes * e[1]) / 8.0
    energy += (moved[3] * e[2] + moved[0] * e[3]) * q[_IN] / 8.0
    energy += (moved[4] * e[4] + moved[1] * e[5]) * q[_WEIGHT] / 8.0
    summed = moved[5] - result + addends * result
    energy += (summed + moved[2]) * e[6] * p[_RESULT] / 8.0
    energy += (moved[5] + back + addends * result) * e[7] * p[_RESULT] / 8.0
    cost[_ENERGY] = energy + q[_BATCH] * q[_M] * q[_N] * q[_K] * e[8]
    cost[_DRAM] = (reads + writes) / 8.0


@compiled
def cost_of(
    tm: int, tn: int, tk: int, order: Array, q: Array, p: Array, e: Array, cost: Array
) -> None:
    """Fills cost: cycles, energy (pJ), their product, DRAM bytes."""
    moved = np.empty(6, dtype=np.int64)
    moved_elements(tm, tn, tk, order, q, p, moved)
    _dram_and_energy(tm, q, p, e, moved, cost)
    cost[_CYCLES] = np.ceil(cycles_of(tm, tn, tk, order, q, p))
    cost[_EDP] = cost[_CYCLES] * cost[_ENERGY]


@compiled
def _canonical(order: int, trips: Array) -> bool:
    """Whether no earlier order walks the same tiles: loops of one trip may stand anywhere."""
    for earlier in range(order):
        same, at = True, 0
        for position in range(3):
            dim = _ORDER_DIMS[order, position]
            if trips[dim] == 1:
                continue
            while trips[_ORDER_DIMS[earlier, at]] == 1:
                at += 1
            same = same and _ORDER_DIMS[earlier, at] == dim
            at += 1
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
    prune: bool,
    best: Array,
    counts: Array,
) -> float:
    """Fills best (tm, tn, tk, order) and counts; returns the least value, -1 if nothing fits.

    Ties go to fewer cycles, then to fewer bytes of DRAM, then to the first in the order of the
    options. prune False evaluates whatever fits.
    """
    cost, moved = np.empty(4), np.empty(6, dtype=np.int64)
    trips = np.empty(3, dtype=np.int64)
    found = np.array([-1.0, -1.0, -1.0])
    for tm in options_m:
        trips[0] = _up(q[_M], tm)
        for tn in options_n:
            trips[1] = _up(q[_N], tn)
            for tk in options_k:
                if not fits(tm, tn, tk, q, p):
                    counts[_MISFITS] += 6
                    continue
                trips[2] = _up(q[_K], tk)
                least = least_cycles(tm, tn, tk, q, p)
                for order in range(6):
                    if prune and not _canonical(order, trips):
                        counts[_DOMINATED] += 1
                        continue
                    dims = _ORDER_DIMS[order]
                    moved_elements(tm, tn, tk, dims, q, p, moved)
                    _dram_and_energy(tm, q, p, e, moved, cost)
                    if prune and found[0] >= 0:
                        # Every byte takes its share of the bus.
                        bound = np.floor(max(least, cost[_DRAM] / p[_BUS]))
                        if _value(objective, bound, cost) > found[0]:
                            counts[_BOUNDED] += 1
                            continue
                    counts[_EVALUATED] += 1
                    cycles = np.ceil(cycles_of(tm, tn, tk, dims, q, p))
                    value = _value(objective, cycles, cost)
                    better = found[0] < 0 or value < found[0]
                    if value == found[0]:
                        better = cycles < found[1] or (
                            cycles == found[1] and cost[_DRAM] < found[2]
                        )
                    if better:
                        found[0], found[1], found[2] = value, cycles, cost[_DRAM]
                        best[0], best[1], best[2], best[3] = tm, tn, tk, order
    return float(found[0])


@compiled
def _value(objective: int, cycles: float, cost: Array) -> float:
    if objective == _CYCLES:
        return cycles
    if objective == _ENERGY:
        return float(cost[_ENERGY])
    if objective == _EDP:
        return float(cycles * cost[_ENERGY])
    return float(cost[_DRAM])
