"""Who waits for whom: each instruction's latest conflicting predecessor in every other queue.

Queues run in order, so waiting for the latest conflict waits for all. Conflicts are by row of
local memory (read after write, write after read, write after write), and by 64 B of DRAM between
stores and loads (partial sums that come back).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.compiled import compiled
from inferstack.simulate import isa

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Integer = Any
    # An int64 inside compiled code: Python's int, or numpy's as records and arrays hold it.

LOAD, EXECUTE, STORE = range(3)
STORE_IN_DRAM = 3
"""Column of the waits: the store has to be in DRAM, not only out of the accumulator."""
GRANULE_BYTES = 64

_CONFIG, _MVIN, _PRELOAD, _COMPUTE, _MVOUT, _FENCE = range(6)
_ACCUMULATOR, _ACCUMULATE, _MULTIPLY = isa.ACCUMULATOR, isa.ACCUMULATE, isa.MULTIPLY
_ROW_MASK, _KEEP = isa.ROW_MASK, isa.KEEP
_WIDE, _STATISTICS, _FOR_LOAD = isa.WIDE, isa.STATISTICS, isa.FOR_LOAD
_FACTORS = isa.FACTORS
_LOAD, _EXECUTE, _STORE = LOAD, EXECUTE, STORE

(
    READ_BYTES,
    WRITTEN_BYTES,
    SCRATCHPAD_READ,
    SCRATCHPAD_WRITTEN,
    ACCUMULATOR_READ,
    ACCUMULATOR_WRITTEN,
    MACS,
    RESCALED,
) = range(8)
_READ, _WRITTEN, _SP_READ, _SP_WRITTEN, _ACC_READ, _ACC_WRITTEN, _MACS, _RESCALED = range(8)


@compiled
def _reads(
    start: Integer, rows: Integer, queue: Integer, at: Integer, last: Array, wait: Array
) -> None:
    """Marks local rows read, and waits for their latest writers.

    last: (rows, 6): latest write by queue, then latest read by queue.
    """
    for row in range(start, start + rows):
        for other in range(3):
            if other != queue and last[row, other] > wait[other]:
                wait[other] = last[row, other]
        last[row, 3 + queue] = at


@compiled
def _writes(
    start: Integer, rows: Integer, queue: Integer, at: Integer, last: Array, wait: Array
) -> None:
    """Marks local rows written, and waits for their latest readers and writers."""
    for row in range(start, start + rows):
        for other in range(3):
            if other != queue:
                wait[other] = max(wait[other], last[row, other], last[row, 3 + other])
        last[row, queue] = at


@compiled
def _touch_dram(
    ins: Any, first: Integer, at: Integer, store: bool, granules: Array, wait: Array
) -> None:
    """Marks the DRAM that a move touches; granules: (n, 2), latest load and store."""
    size = 4 if ins.flags & _WIDE else 1
    for r in range(np.int64(ins.rows)):
        start = first + ins.dram + r * ins.stride
        last = start + np.int64(ins.cols) * size - 1
        for granule in range(start // 64, last // 64 + 1):
            if store:
                wait[_LOAD] = max(wait[_LOAD], granules[granule, 0])
                granules[granule, 1] = at
            else:
                wait[3] = max(wait[3], granules[granule, 1])
                granules[granule, 0] = at
        if ins.stride == 0:
            break


@compiled
def queue_of(ins: Any) -> Integer:
    """The queue that an instruction enters; -1 for a fence."""
    if ins.opcode == _MVIN or (ins.opcode == _CONFIG and ins.flags & _FOR_LOAD):
        return _LOAD
    if ins.opcode == _PRELOAD or ins.opcode == _COMPUTE:
        return _EXECUTE
    return -1 if ins.opcode == _FENCE else _STORE


@compiled
def _count(ins: Any, command: Integer, target: Integer, counts: Array, vector: Array) -> None:
    """Adds an instruction's traffic to the counts, in bytes, MACs and elements."""
    rows, cols = np.int64(ins.rows), np.int64(ins.cols)
    size = 4 if ins.flags & _WIDE else 1
    if ins.opcode == _CONFIG:
        counts[_READ] += ins.stride
    elif ins.opcode == _MVIN:
        counts[_READ] += (1 if ins.stride == 0 else rows) * cols * size
        if ins.local & _ACCUMULATOR:
            counts[_ACC_WRITTEN] += rows * cols * 4
            counts[_ACC_READ] += rows * cols * 4 if ins.local & _ACCUMULATE else 0
            added = ins.config >= 0 and not ins.local & _MULTIPLY
            counts[_RESCALED] += rows * cols if added else 0
        else:
            counts[_SP_WRITTEN] += rows * cols
    elif ins.opcode == _PRELOAD:
        counts[_SP_READ] += 0 if ins.local == _KEEP else rows * cols
    elif ins.opcode == _COMPUTE:
        counts[_SP_READ] += rows * cols
        width = np.int64(ins.column)
        counts[_MACS] += rows * cols * width
        counts[_ACC_WRITTEN] += rows * width * 4
        counts[_ACC_READ] += rows * width * 4 if target & _ACCUMULATE else 0
    elif ins.opcode == _MVOUT and ins.flags & _FACTORS:
        counts[_WRITTEN] += rows * cols * size
    elif ins.opcode == _MVOUT:
        counts[_ACC_READ] += rows * cols * 4
        if not ins.flags & _STATISTICS:
            counts[_WRITTEN] += rows * cols * size
            vector[command] += rows * cols


@compiled
def analyse(
    instructions: Array,
    commands: Array,
    operand_starts: Array,
    last: Array,
    granules: Array,
    scratchpad_rows: Integer,
    waits: Array,
    queues: Array,
    counts: Array,
    vector: Array,
) -> None:
    """Fills waits (n, 4) with positions in the other queues or -1, queues (n,), counts and vector.

    commands: by configuration. last: (local rows, 6) of -1; granules: (DRAM / 64 B, 2) of -1; the
    accumulator's rows follow the scratchpad's.
    """
    sizes = np.zeros(3, dtype=np.int64)
    floor = np.full(4, -1, dtype=np.int64)
    wait = np.empty(4, dtype=np.int64)
    target, command = np.int64(0), np.int64(0)
    for i in range(instructions.shape[0]):
        ins = instructions[i]
        queue = queue_of(ins)
        queues[i] = queue
        if queue < 0:
            floor[:3] = sizes - 1
            floor[3] = floor[2]
            continue
        at = sizes[queue]
        sizes[queue] += 1
        wait[:] = floor
        start = np.int64(ins.local) & _ROW_MASK
        start += scratchpad_rows if ins.local & _ACCUMULATOR else 0
        blocks = (np.int64(ins.cols) + 15) // 16
        span = np.int64(ins.rows) * blocks
        if ins.opcode == _CONFIG and queue == _STORE:
            command = commands[ins.config]
        elif ins.opcode == _MVIN:
            _writes(start, span, queue, at, last, wait)
            _touch_dram(ins, operand_starts[ins.operand], at, False, granules, wait)
        elif ins.opcode == _PRELOAD:
            target = np.int64(ins.other)
            if ins.local != _KEEP:
                _reads(start, np.int64(ins.rows), queue, at, last, wait)
        elif ins.opcode == _COMPUTE:
            _reads(start, np.int64(ins.rows), queue, at, last, wait)
            place = scratchpad_rows + (target & _ROW_MASK)
            _writes(place, np.int64(ins.rows), queue, at, last, wait)
        elif ins.opcode == _MVOUT:
            if not ins.flags & _FACTORS:
                # The factors are in the unit, not in the accumulator.
                _reads(start, span, queue, at, last, wait)
            if not ins.flags & _STATISTICS:
                _touch_dram(ins, operand_starts[ins.operand], at, True, granules, wait)
        waits[i] = wait
        waits[i, queue] = floor[queue]
        _count(ins, command, target, counts, vector)
