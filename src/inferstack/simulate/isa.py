"""The instruction set: records that the machine executes, and their readable form.

Six instructions, after Gemmini's: `config` loads a table for a queue, `mvin` moves rows from DRAM
into the scratchpad or the accumulator, `preload` puts a block of weights into the array, `compute`
streams rows through it, `mvout` writes rows of the accumulator, `fence` waits for all of that.

Local addresses are rows: 16 int8 of scratchpad, 16 int32 of accumulator (with ACCUMULATOR). A
DRAM address is an operand (a tensor) and an offset in it, so one program serves every layer of
equal shape. A move of more than 16 columns fills blocks of 16 columns that lie `rows` rows apart.
Source: ucb-bar/gemmini, commit 8c3f992, README (ISA) and LoopMatmul.scala.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

CONFIG, MVIN, PRELOAD, COMPUTE, MVOUT, FENCE = range(6)
NAMES = ("config", "mvin", "preload", "compute", "mvout", "fence")

ACCUMULATOR = 1 << 31
"""Bit of a local address: a row of the accumulator."""
ACCUMULATE = 1 << 30
"""Bit of a local address: add to what is there instead of overwriting it."""
MULTIPLY = 1 << 29
"""Bit of a local address beside ACCUMULATE: multiply what is there instead of adding to it, both
by the load's table brought to 16 bits first."""
ROW_MASK = (1 << 29) - 1
KEEP = 0xFFFFFFFF
"""As the local address of a preload: the weights in the array stay."""

WIDE = 1
"""Flag of mvin and mvout: DRAM holds int32 (else int8)."""
TRANSPOSE = 2
"""Flag of preload: the block is stored as columns x rows."""
STATISTICS = 4
"""Flag of mvout: a pass that only updates the row's statistics; nothing is written."""
FIRST = 8
"""Flag of mvout: the first block of a row's first pass."""
LAST = 16
"""Flag of mvout: the last block of a row's last statistics pass: division and root follow."""
FOR_LOAD = 32
"""Flag of config: the table of the load queue (else of the store queue)."""
FACTORS = 64
"""Flag of mvout: the factors of the rows that softmax has just written, an int32 for each."""

INSTRUCTION = np.dtype(
    [
        ("opcode", np.uint8),
        ("flags", np.uint8),
        ("operand", np.uint8),
        ("rows", np.uint8),
        ("cols", np.uint16),
        ("config", np.int16),
        ("local", np.uint32),
        ("other", np.uint32),
        ("column", np.int32),
        ("stride", np.int32),
        ("dram", np.int64),
    ]
)
"""other: a preload's destination in the accumulator; an mvout's row index in the tensor (causal
masks). column: an mvin's or mvout's first channel, by which tables are indexed; a compute's width.
stride: bytes between rows in DRAM, 0 reads one row once and writes it to all; a config's bytes.
A config of the store queue with `cols` reads so many factors of rows, from row `other` on, from its
operand."""

NONE, REQUANTIZE, GELU, SOFTMAX, LAYERNORM, RESCALE, SILU, MULTIPLIED, RMSNORM, ROTARY = range(10)
COMMANDS = (
    "none",
    "requantize",
    "gelu",
    "softmax",
    "layernorm",
    "rescale",
    "silu",
    "multiply",
    "rmsnorm",
    "rotary",
)
KIND_OF_COMMAND = {
    command: name
    for command, name in enumerate(COMMANDS)
    if name not in ("none", "requantize", "rescale")
}
"""The kind of operator that a command computes."""

CONFIGURATION = np.dtype(
    [
        ("command", np.int64),
        ("multiplier", np.int64),
        ("shift", np.int64),
        ("per_channel", np.int64),
        ("first", np.int64),
        ("first_length", np.int64),
        ("second", np.int64),
        ("constants", np.int64),
        ("constants_length", np.int64),
        ("width", np.int64),
        ("mask", np.int64),
        ("causal", np.int64),
        ("window", np.int64),
        ("offset", np.int64),
        ("by_row", np.int64),
        ("columns", np.int64),
    ]
)
"""A table of the load or store queue; positions in the program's constants.

multiplier, shift: 1 value, or `per_channel` of them. first, second: output multipliers and shifts
of an activation (first_length of them), those of what a load multiplies, a norm's gamma and beta,
or a rotation's cosines and sines, first_length for each position. width: columns of a whole row, of
which `columns` hold one, or several side by side (heads). mask: operand of int8 flags per column,
or -1. offset: the column of query 0; where causal, a query sees the columns up to its own, and with
a window none that far from it. by_row: 1 where every row is multiplied by its factor before
anything else (attention context).
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Code:
    """Instructions and configurations of a program, the same for every layer of equal shape.

    operand_bytes: size of each operand in DRAM, by operand number. signature: equal for equal code.
    scratchpad_rows, accumulator_rows: rows of local memory that the addresses reach into.
    """

    instructions: Array
    configurations: Array
    operand_bytes: tuple[int, ...]
    scratchpad_rows: int
    accumulator_rows: int
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """Code with the tables and tensors of one operator (or of a fused group).

    constants: int64 pool that the configurations point into.
    operands: tensor names by operand number; SPILL is the region for partial sums.
    output: the tensor that it writes.
    """

    name: str
    code: Code
    constants: Array
    operands: tuple[str, ...]
    output: str


SPILL = "(partial sums)"
"""The operand that stands for the region of spilled partial sums."""
_FACTORS_OF = " (row factors)"
FACTOR_BYTES = 4


def factors_of(tensor: str) -> str:
    """The operand that stands for the factors of the rows of probabilities, an int32 each."""
    return tensor + _FACTORS_OF


def tensor_of(operand: str) -> str:
    """The tensor that an operand holds, or whose rows' factors it holds."""
    return operand.removesuffix(_FACTORS_OF)


def check_addresses(code: Code) -> None:
    """Asserts that no instruction leaves its memories: compiled code does not check indices."""
    ins = code.instructions
    blocks = -(-ins["cols"].astype(np.int64) // 16)
    rows = ins["rows"].astype(np.int64)
    local, opcode = ins["local"], ins["opcode"]
    last = (local & ROW_MASK) + np.where(opcode == COMPUTE, 1, blocks) * rows
    limit = np.where(local & ACCUMULATOR, code.accumulator_rows, code.scratchpad_rows)
    moves = (opcode == MVIN) | (opcode == MVOUT)
    used = moves | (opcode == COMPUTE) | ((opcode == PRELOAD) & (local != KEEP))
    assert (last <= limit)[used].all(), "an instruction leaves local memory"
    target = (ins["other"] & ROW_MASK) + 16
    first = opcode == PRELOAD
    assert (target <= code.accumulator_rows + 15)[first].all(), "a result leaves the accumulator"
    size = np.where(ins["flags"] & WIDE, 4, 1)
    end = ins["dram"] + (rows - 1) * ins["stride"] + ins["cols"].astype(np.int64) * size
    bytes_of = np.array([*code.operand_bytes, 0])[ins["operand"]]
    real = moves & ~((opcode == MVOUT) & (ins["flags"] & STATISTICS != 0))
    inside = (end <= bytes_of) & (ins["dram"] >= 0)
    assert inside[real].all(), "an instruction leaves its operand in DRAM"
    factors = (opcode == CONFIG) & (ins["cols"] > 0)
    read = ins["dram"] + ins["cols"].astype(np.int64) * FACTOR_BYTES
    assert (read <= bytes_of)[factors].all(), "a config leaves its factors in DRAM"


def disassemble(program: Program, start: int = 0, stop: int | None = None) -> str:
    """Readable lines of the instructions [start, stop)."""
    listing = program.code.instructions[start:stop]
    return "\n".join(
        f"{start + i:7d}  {_line(record, program)}" for i, record in enumerate(listing)
    )


def _line(record: Any, program: Program) -> str:
    opcode, flags = int(record["opcode"]), int(record["flags"])
    name = NAMES[opcode]
    size = f"{record['rows']}x{record['cols']}"
    width = "int32" if flags & WIDE else "int8"
    operand = program.operands[record["operand"]] if opcode in (MVIN, MVOUT) else ""
    dram = f"{operand}+{record['dram']} stride {record['stride']} {width}"
    if opcode == CONFIG:
        command = COMMANDS[program.code.configurations[record["config"]]["command"]]
        queue = "load" if flags & FOR_LOAD else "store"
        rows = f", {record['cols']} row factors" if record["cols"] else ""
        return f"{name:8s} {queue} table {record['config']} {command}, {record['stride']} B{rows}"
    if opcode == MVIN:
        return f"{name:8s} {size} {dram} -> {local_name(int(record['local']))}"
    if opcode == PRELOAD:
        turned = " transposed" if flags & TRANSPOSE else ""
        target = local_name(int(record["other"]))
        return f"{name:8s} {size} {local_name(int(record['local']))}{turned} for {target}"
    if opcode == COMPUTE:
        return f"{name:8s} {size} {local_name(int(record['local']))}"
    if opcode == MVOUT:
        if flags & STATISTICS:
            return f"{name:8s} {size} {local_name(int(record['local']))} statistics"
        return f"{name:8s} {size} {local_name(int(record['local']))} -> {dram}"
    return name


def local_name(address: int) -> str:
    """sp[12], acc[12], acc[12]+=, acc[12]*= or "kept"."""
    if address == KEEP:
        return "kept"
    row = address & ROW_MASK
    if not address & ACCUMULATOR:
        return f"sp[{row}]"
    if not address & ACCUMULATE:
        return f"acc[{row}]"
    return f"acc[{row}]" + ("*=" if address & MULTIPLY else "+=")
