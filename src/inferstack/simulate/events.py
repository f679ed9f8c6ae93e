"""When the instructions run: three in-order queues, one DMA bus, an array and a read port.

The machine advances whichever engine can act first: loads and stores contend for the bus request by
request in time order, and an instruction starts when the instructions that it waits for (`hazards`)
are done. Times are in cycles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.compiled import compiled
from inferstack.simulate import hazards, isa

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Integer = Any
    # An int64 inside compiled code: Python's int, or numpy's as records and arrays hold it.

_CONFIG, _MVIN, _PRELOAD, _COMPUTE, _MVOUT = range(5)
_KEEP, _ACCUMULATOR = isa.KEEP, isa.ACCUMULATOR
_WIDE, _STATISTICS, _LAST = isa.WIDE, isa.STATISTICS, isa.LAST
_LOAD, _EXECUTE, _STORE = hazards.LOAD, hazards.EXECUTE, hazards.STORE
UNKNOWN = 1 << 62
_UNKNOWN = UNKNOWN

PARAMETERS = (
    "bus_bytes",
    "in_flight",
    "read_latency",
    "write_latency",
    "pass_cycles",
    "fill_cycles",
    "lanes",
    "load_entries",
    "execute_entries",
    "store_entries",
)
_BUS, _IN_FLIGHT, _READ_LATENCY, _WRITE_LATENCY, _PASS, _FILL, _LANES, _ENTRIES = range(8)

STATE = ("bus_free", "array_free", "array_start", "preload_end", "port_free", "last_on_bus")
_BUS_FREE, _ARRAY_FREE, _ARRAY_START, _PRELOAD_END, _PORT_FREE, _LAST_ENGINE = range(6)

_ROW, _READY, _ARRIVAL = range(3)

BUSY = ("array", "load", "store", "read port")
_BUSY_ARRAY, _BUSY_LOAD, _BUSY_STORE, _BUSY_PORT = range(4)

STALLS = (
    "load waits for load",
    "load waits for execute",
    "load waits for store",
    "load waits for a queue entry",
    "execute waits for load",
    "execute waits for execute",
    "execute waits for store",
    "execute waits for a queue entry",
    "store waits for load",
    "store waits for execute",
    "store waits for store",
    "store waits for a queue entry",
)


@compiled
def _known(wait: Array, position: Array) -> bool:
    """Whether everything that an instruction waits for has its time."""
    return bool(
        wait[0] < position[0]
        and wait[1] < position[1]
        and wait[2] < position[2]
        and wait[3] < position[2]
    )


@compiled
def _start(
    ins: Any,
    wait: Array,
    queue: Integer,
    free: Integer,
    entered: Integer,
    done: Array,
    read: Array,
    stalls: Array,
) -> Integer:
    """When an instruction starts, once its unit is free and it has entered the queue.

    done: (3, n) when results are there; read: (3, n) when sources are read. A load into the
    scratchpad only waits for the array's reads, everything else for its results.
    """
    begin = free
    if entered > begin:
        stalls[queue, 3] += entered - begin
        begin = entered
    for other in range(4):
        if wait[other] < 0:
            continue
        row = min(other, _STORE)
        sources = other == _STORE
        if other == _EXECUTE and ins.opcode == _MVIN and not ins.local & _ACCUMULATOR:
            sources = True
        ready = read[row, wait[other]] if sources else done[row, wait[other]]
        if ready > begin:
            stalls[queue, row] += ready - begin
            begin = ready
    return begin


@compiled
def _enter(queue: Integer, at: Integer, entered: Array, done: Array, parameters: Array) -> Integer:
    """When the instruction at position `at` enters its queue: one a cycle, while there is room."""
    moment = entered[queue]
    size = parameters[_ENTRIES + queue]
    if at >= size:
        moment = max(moment, done[queue, at - size])
    entered[queue] = moment + 1
    return moment


@compiled
def _request(
    engine: Integer,
    ready: Integer,
    size: Integer,
    latency: Integer,
    ring: Array,
    slot: Array,
    state: Array,
    busy: Array,
    p: Array,
) -> Integer:
    """One DMA request of `size` bytes: takes the bus, returns when its data has arrived."""
    beats = (size + p[_BUS] - 1) // p[_BUS]
    begin = max(ready, state[_BUS_FREE], ring[engine, slot[engine]])
    state[_BUS_FREE] = begin + beats
    state[_LAST_ENGINE] = engine
    busy[_BUSY_LOAD if engine == 0 else _BUSY_STORE] += beats
    arrival = begin + beats + latency
    ring[engine, slot[engine]] = arrival
    slot[engine] = (slot[engine] + 1) % p[_IN_FLIGHT]
    return arrival


@compiled
def _execute(
    ins: Any,
    at: Integer,
    wait: Array,
    entered: Integer,
    done: Array,
    read: Array,
    state: Array,
    busy: Array,
    stalls: Array,
    p: Array,
) -> Integer:
    """One preload or compute; returns its start.

    A preload fills the array's second set of weights while the compute before it runs.
    """
    if ins.opcode == _PRELOAD:
        free = max(state[_ARRAY_START], state[_PRELOAD_END])
        begin = _start(ins, wait, _EXECUTE, free, entered, done, read, stalls)
        kept = ins.local == _KEEP
        end = begin if kept else begin + max(p[_PASS], np.int64(ins.rows))
        state[_PRELOAD_END] = end
        read[_EXECUTE, at] = end
        done[_EXECUTE, at] = end
        return begin
    free = max(state[_ARRAY_FREE], state[_PRELOAD_END])
    begin = _start(ins, wait, _EXECUTE, free, entered, done, read, stalls)
    cycles = max(p[_PASS], np.int64(ins.rows))
    state[_ARRAY_START] = begin
    state[_ARRAY_FREE] = begin + cycles
    busy[_BUSY_ARRAY] += cycles
    read[_EXECUTE, at] = begin + cycles
    done[_EXECUTE, at] = begin + cycles + p[_FILL]
    return begin


@compiled
def _statistics_pass(
    ins: Any, begin: Integer, overhead: Integer, state: Array, busy: Array, p: Array
) -> Integer:
    """An mvout that writes nothing: occupies the read port; the row's division follows its last."""
    rows, cols = np.int64(ins.rows), np.int64(ins.cols)
    cycles = rows * ((cols + p[_LANES] - 1) // p[_LANES])
    if ins.flags & _LAST:
        cycles += rows * overhead
    state[_PORT_FREE] = max(begin, state[_PORT_FREE]) + cycles
    busy[_BUSY_PORT] += cycles
    return state[_PORT_FREE]


@compiled
def _port_cycles(ins: Any, table: Array, p: Array) -> Integer:
    """Cycles of the accumulator's read port for one row of the mvout that writes."""
    return (np.int64(ins.cols) + p[_LANES] - 1) // p[_LANES] * table[1] + table[2]


@compiled
def _turn(
    engine: Integer, ins: Any, move: Array, ring: Array, slot: Array, state: Array, port: Integer
) -> Integer:
    """When a DMA engine can act next: at once without the bus, else when it gets a request out."""
    if ins.opcode != _MVIN and (ins.flags & _STATISTICS or ins.opcode == _CONFIG):
        return move[_READY]
    moment = move[_READY]
    if ins.opcode == _MVOUT:
        moment = max(moment, state[_PORT_FREE]) + port
    return max(moment, state[_BUS_FREE], ring[engine, slot[engine]])


@compiled
def _act(
    engine: Integer,
    ins: Any,
    move: Array,
    table: Array,
    ring: Array,
    slot: Array,
    state: Array,
    busy: Array,
    p: Array,
) -> bool:
    """One request of a DMA engine, or what needs none; whether the instruction is through.

    move: the instruction's next row, when it is ready, its latest arrival.
    """
    width = np.int64(ins.cols) * (4 if ins.flags & _WIDE else 1)
    move[_ROW] += 1
    if ins.opcode == _CONFIG:
        if ins.stride > 0:
            latency = p[_READ_LATENCY]
            move[_READY] = _request(
                engine, move[_READY], ins.stride, latency, ring, slot, state, busy, p
            )
        move[_ARRIVAL] = move[_READY]
        return True
    if ins.opcode == _MVIN:
        came = _request(engine, move[_READY], width, p[_READ_LATENCY], ring, slot, state, busy, p)
        move[_READY] = came - p[_READ_LATENCY]
        repeats = np.int64(ins.rows) if ins.stride == 0 else 1
        move[_ARRIVAL] = came + repeats
        return bool(ins.stride == 0 or move[_ROW] == np.int64(ins.rows))
    if ins.flags & _STATISTICS:
        move[_READY] = _statistics_pass(ins, move[_READY], table[0], state, busy, p)
        move[_ARRIVAL] = move[_READY]
        return True
    port = _port_cycles(ins, table, p)
    moment = max(move[_READY], state[_PORT_FREE]) + port
    came = _request(engine, moment, width, p[_WRITE_LATENCY], ring, slot, state, busy, p)
    beats = (width + p[_BUS] - 1) // p[_BUS]
    busy[_BUSY_PORT] += port
    state[_PORT_FREE] = came - p[_WRITE_LATENCY] - beats
    move[_READY] = state[_PORT_FREE]
    move[_ARRIVAL] = came
    return bool(move[_ROW] == np.int64(ins.rows))


@compiled
def _run_array(
    instructions: Array,
    waits: Array,
    order: Array,
    sizes: Array,
    position: Array,
    entered: Array,
    done: Array,
    read: Array,
    starts: Array,
    state: Array,
    busy: Array,
    stalls: Array,
    p: Array,
) -> None:
    """Advances the array as far as what it waits for is known."""
    while position[_EXECUTE] < sizes[_EXECUTE]:
        at = position[_EXECUTE]
        i = order[_EXECUTE, at]
        if not _known(waits[i], position):
            return
        moment = _enter(_EXECUTE, at, entered, done, p)
        starts[_EXECUTE, at] = _execute(
            instructions[i], at, waits[i], moment, done, read, state, busy, stalls, p
        )
        position[_EXECUTE] += 1


@compiled
def _end(sizes: Array, position: Array, done: Array) -> Integer:
    """When everything is done. Nothing may be left: program order is an order that runs."""
    end = np.int64(0)
    for queue in range(3):
        assert position[queue] == sizes[queue]
        if sizes[queue] > 0:
            end = max(end, done[queue, : sizes[queue]].max())
    return end


@compiled
def run(
    instructions: Array,
    waits: Array,
    order: Array,
    sizes: Array,
    tables: Array,
    p: Array,
    done: Array,
    read: Array,
    starts: Array,
    busy: Array,
    stalls: Array,
) -> Integer:
    """Fills done, read, starts (3, n), busy (4,) and stalls (3, 4); returns the end in cycles.

    order: (3, n) instruction by position in its queue. sizes: (3,) instructions per queue.
    tables: (configurations, 3): cycles per row after the statistics; passes, and cycles per row,
    of the mvout that writes. p: PARAMETERS.
    """
    state = np.zeros(6, dtype=np.int64)
    position, entered = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    ring, slot = np.zeros((2, p[_IN_FLIGHT]), dtype=np.int64), np.zeros(2, dtype=np.int64)
    moves = np.zeros((2, 3), dtype=np.int64)  # of the load and the store engine; row -1: idle
    moves[:, _ROW] = -1
    table: Integer = 0
    while True:
        _run_array(
            instructions,
            waits,
            order,
            sizes,
            position,
            entered,
            done,
            read,
            starts,
            state,
            busy,
            stalls,
            p,
        )
        best, soonest = -1, _UNKNOWN
        for engine in range(2):
            queue = 2 * engine
            at = position[queue]
            if at >= sizes[queue]:
                continue
            i = order[queue, at]
            ins, move = instructions[i], moves[engine]
            if move[_ROW] < 0:
                if not _known(waits[i], position):
                    continue
                moment = _enter(queue, at, entered, done, p)
                free = move[_READY]
                begin = _start(ins, waits[i], queue, free, moment, done, read, stalls)
                starts[queue, at] = begin
                move[_ROW], move[_READY] = 0, begin
            port = _port_cycles(ins, tables[table], p)
            turn = _turn(engine, ins, move, ring, slot, state, port)
            if turn < soonest or (turn == soonest and state[_LAST_ENGINE] != engine):
                best, soonest = engine, turn
        if best < 0:
            return _end(sizes, position, done)
        queue = 2 * best
        at = position[queue]
        ins, move = instructions[order[queue, at]], moves[best]
        if ins.opcode == _CONFIG and queue == _STORE:
            table = np.int64(ins.config)
        if _act(best, ins, move, tables[table], ring, slot, state, busy, p):
            before = done[queue, at - 1] if at > 0 else 0
            done[queue, at] = max(move[_ARRIVAL], before)
            read[queue, at] = move[_READY] if queue == _STORE else done[queue, at]
            position[queue] += 1
            move[_ROW] = -1
