"""The machine: `execute` gives a program's values, `time` its cycles. Neither sees a mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.units import ceil_div
from inferstack.hardware.accelerator import Accelerator, Role, VectorUnit
from inferstack.mapping.epilogue import ROW_KINDS
from inferstack.simulate import isa

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

INTERVAL = np.dtype(
    [("instruction", np.int64), ("queue", np.int8), ("start", np.int64), ("end", np.int64)]
)
QUEUES = ("load", "execute", "store")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timing:
    """What a program costs; independent of the data.

    busy_cycles: by unit: array, load and store (bus), read port (of the accumulator), host.
    stalls: cycles by cause. queue_counts: instructions by queue. Bytes are payload bytes.
    vector_elements: elements by operator kind that the units behind the accumulator computed.
    trace: intervals of the instructions (INTERVAL), where asked for.
    """

    cycles: int
    busy_cycles: Mapping[str, int]
    dram_read_bytes: int
    dram_written_bytes: int
    scratchpad_read_bytes: int
    scratchpad_written_bytes: int
    accumulator_read_bytes: int
    accumulator_written_bytes: int
    macs: int
    vector_elements: Mapping[str, int]
    stalls: Mapping[str, int]
    queue_counts: Mapping[str, int]
    trace: Array | None = field(default=None, repr=False)

    def utilisation(self, accelerator: Accelerator) -> float:
        """MACs over the array's peak in the program's cycles."""
        return self.macs / max(1, self.cycles * accelerator.array.macs_per_cycle)


def execute(program: isa.Program, memory: Array, addresses: Sequence[int]) -> None:
    """Runs the program on `memory` (bytes as int8), in place.

    addresses: of each operand, by operand number.
    """
    from inferstack.simulate import values

    code = program.code
    scratchpad = np.zeros((max(1, code.scratchpad_rows), 16), dtype=np.int8)
    accumulator = np.zeros((max(1, code.accumulator_rows), 16), dtype=np.int32)
    widest = ceil_div(max(1, int(code.configurations["columns"].max())), 16) * 16
    configs = code.instructions["opcode"] == isa.CONFIG
    tallest = int(code.instructions["cols"][configs].max(initial=0))
    bases = np.array(addresses, dtype=np.int64)
    _check_operands(program, memory, bases)
    values.run(
        code.instructions,
        code.configurations,
        program.constants,
        bases,
        memory,
        scratchpad,
        accumulator,
        widest,
        tallest,
    )


def _check_operands(program: isa.Program, memory: Array, bases: Array) -> None:
    """Compiled code does not check indices: every operand must be inside memory."""
    sizes = program.code.operand_bytes
    assert len(bases) == len(sizes), "an address per operand"
    for base, size in zip(bases, sizes, strict=True):
        assert 0 <= base <= len(memory) - size, f"{program.name}: an operand is outside memory"


@dataclass(slots=True, kw_only=True)
class _Analysis:
    """What `hazards.analyse` finds: waits (n, 4), counts, elements by command, queues' order."""

    waits: Array
    counts: Array
    vector: Array
    order: Array
    sizes: Array


def _analysed(code: isa.Code, commands: Array) -> _Analysis:
    """Dependencies and traffic of the code."""
    from inferstack.simulate import hazards

    n = len(code.instructions)
    starts = np.concatenate([[0], np.cumsum([_padded(size) for size in code.operand_bytes])])
    local = code.scratchpad_rows + code.accumulator_rows
    waits, queues = np.empty((n, 4), dtype=np.int64), np.empty(n, dtype=np.int64)
    counts = np.zeros(8, dtype=np.int64)
    vector = np.zeros(len(isa.COMMANDS), dtype=np.int64)
    hazards.analyse(
        code.instructions,
        commands,
        starts[:-1].astype(np.int64),
        np.full((local, 6), -1, dtype=np.int64),
        np.full((starts[-1] // hazards.GRANULE_BYTES + 1, 2), -1, dtype=np.int64),
        code.scratchpad_rows,
        waits,
        queues,
        counts,
        vector,
    )
    members = [np.flatnonzero(queues == queue) for queue in range(3)]
    sizes = np.array([len(member) for member in members], dtype=np.int64)
    order = np.zeros((3, max(1, int(sizes.max()))), dtype=np.int64)
    for queue, member in enumerate(members):
        order[queue, : len(member)] = member
    return _Analysis(waits=waits, counts=counts, vector=vector, order=order, sizes=sizes)


def time(code: isa.Code, accelerator: Accelerator, *, trace: bool = False) -> Timing:
    """Cycles of the code on the accelerator, and what it moved."""
    from inferstack.simulate import events, hazards

    commands = np.ascontiguousarray(code.configurations["command"])
    found = _analysed(code, commands)
    done, read, begun = (np.zeros(found.order.shape, dtype=np.int64) for _ in range(3))
    busy = np.zeros(len(events.BUSY), dtype=np.int64)
    stalls = np.zeros((3, 4), dtype=np.int64)
    cycles = events.run(
        code.instructions,
        found.waits,
        found.order,
        found.sizes,
        _command_cycles(commands, accelerator.vector_unit),
        _parameters(accelerator),
        done,
        read,
        begun,
        busy,
        stalls,
    )
    counts = found.counts.tolist()
    return Timing(
        cycles=int(cycles),
        busy_cycles=dict(zip(events.BUSY, busy.tolist(), strict=True)),
        dram_read_bytes=counts[hazards.READ_BYTES],
        dram_written_bytes=counts[hazards.WRITTEN_BYTES],
        scratchpad_read_bytes=counts[hazards.SCRATCHPAD_READ],
        scratchpad_written_bytes=counts[hazards.SCRATCHPAD_WRITTEN],
        accumulator_read_bytes=counts[hazards.ACCUMULATOR_READ],
        accumulator_written_bytes=counts[hazards.ACCUMULATOR_WRITTEN],
        macs=counts[hazards.MACS],
        vector_elements=_by_kind(found.vector, counts[hazards.RESCALED]),
        stalls=dict(zip(events.STALLS, stalls.reshape(-1).tolist(), strict=True)),
        queue_counts=dict(zip(QUEUES, found.sizes.tolist(), strict=True)),
        trace=_intervals(found, begun, done) if trace else None,
    )


def _intervals(found: _Analysis, begun: Array, done: Array) -> Array:
    """Start and end of every instruction, queue after queue."""
    made = np.zeros(int(found.sizes.sum()), dtype=INTERVAL)
    made["queue"] = np.repeat(np.arange(3), found.sizes)
    for name, source in (("instruction", found.order), ("start", begun), ("end", done)):
        made[name] = np.concatenate([source[q, : found.sizes[q]] for q in range(3)])
    return made


def _by_kind(vector: Array, rescaled: int) -> dict[str, int]:
    """Elements by operator kind; scaled mvins are residual adds."""
    found = {kind: int(vector[command]) for command, kind in isa.KIND_OF_COMMAND.items()}
    return {kind: count for kind, count in {**found, "add": rescaled}.items() if count}


def _padded(size_bytes: int) -> int:
    """Operands start at a granule of their own."""
    return ceil_div(max(1, size_bytes), 64) * 64


def _command_cycles(commands: Array, unit: VectorUnit | None) -> Array:
    """By configuration: cycles per row after the statistics; passes and cycles per row then."""
    made = np.zeros((len(commands), 3), dtype=np.int64)
    made[:, 1] = 1
    for index, command in enumerate(commands.tolist()):
        kind = isa.KIND_OF_COMMAND.get(command)
        if unit is None or kind is None:
            continue
        if kind in ROW_KINDS:
            made[index, 0] = unit.row_overhead_cycles[kind]
        else:
            made[index, 1:] = unit.passes[kind], unit.row_overhead_cycles[kind]
    return made


def _parameters(accelerator: Accelerator) -> Array:
    """events.PARAMETERS of the accelerator."""
    dma, array, unit = accelerator.dma, accelerator.array, accelerator.vector_unit
    lanes = unit.lanes if unit is not None else array.columns
    return np.array(
        [
            dma.bus_bytes,
            dma.requests_in_flight,
            dma.read_latency_cycles,
            dma.write_latency_cycles,
            array.pass_cycles,
            array.fill_cycles,
            lanes,
            dma.load_queue,
            dma.execute_queue,
            dma.store_queue,
        ],
        dtype=np.int64,
    )


def energy_pj(timing: Timing, accelerator: Accelerator) -> float:
    """Energy of what was counted: DRAM, scratchpad, accumulator, MACs, vector units and host."""
    dram = accelerator.levels[0]
    scratchpad = next(v for v in accelerator.levels[1:] if Role.INPUT in v.holds)
    accumulator = next(v for v in accelerator.levels[1:] if Role.OUTPUT in v.holds)
    total = timing.dram_read_bytes * dram.read_pj_per_byte
    total += timing.dram_written_bytes * dram.write_pj_per_byte
    total += timing.scratchpad_read_bytes * scratchpad.read_pj_per_byte
    total += timing.scratchpad_written_bytes * scratchpad.write_pj_per_byte
    total += timing.accumulator_read_bytes * accumulator.read_pj_per_byte
    total += timing.accumulator_written_bytes * accumulator.write_pj_per_byte
    total += timing.macs * accelerator.array.mac_pj
    if accelerator.vector_unit is not None:
        for kind, elements in timing.vector_elements.items():
            total += elements * accelerator.vector_unit.energy_pj[kind]
    return total + timing.busy_cycles.get("host", 0) * accelerator.host.pj_per_cycle
