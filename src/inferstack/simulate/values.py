"""What the instructions compute: scratchpad, accumulator and DRAM as arrays, one after the other.

The block product runs in float32: 16 products of int8 pairs sum to at most 2^18, which float32
holds exactly; sums over blocks are int32. Units compute by the kernels of `ops.kernels.integer`, as
the reference does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.compiled import compiled
from inferstack.ops.kernels.gates import INT16_MAX, clipped, part_of, silu_element
from inferstack.ops.kernels.integer import (
    add_element,
    gelu_element,
    layernorm_row,
    requantize,
    rescale,
    rmsnorm_row,
    row_factor,
    softmax_row,
    weighted_mean,
)
from inferstack.ops.kernels.positions import rotary_array
from inferstack.simulate import isa

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Integer = Any
    # An int64 inside compiled code: Python's int, or numpy's as records and arrays hold it.

_CONFIG, _MVIN, _PRELOAD, _COMPUTE, _MVOUT = range(5)
_NONE, _REQUANTIZE, _GELU, _SOFTMAX, _LAYERNORM, _RESCALE, _SILU, _MULTIPLIED = range(8)
_RMSNORM, _ROTARY = range(8, 10)
_ACCUMULATOR, _ACCUMULATE, _MULTIPLY = isa.ACCUMULATOR, isa.ACCUMULATE, isa.MULTIPLY
_ROW_MASK, _KEEP = isa.ROW_MASK, isa.KEEP
_WIDE, _TRANSPOSE, _STATISTICS = isa.WIDE, isa.TRANSPOSE, isa.STATISTICS
_LAST, _FOR_LOAD, _FACTORS = isa.LAST, isa.FOR_LOAD, isa.FACTORS


@compiled
def signed(value: Any) -> Any:
    """An unsigned field of a record as int64: numba makes floats of mixed signs."""
    return np.int64(value)


@compiled
def _int32_at(memory: Array, at: Integer) -> Integer:
    """Little-endian int32 at byte `at`."""
    low = signed(memory[at]) & 255
    low |= (signed(memory[at + 1]) & 255) << 8
    low |= (signed(memory[at + 2]) & 255) << 16
    return low | (signed(memory[at + 3]) << 24)


@compiled
def _move_in(
    ins: Any,
    base: Integer,
    memory: Array,
    scratchpad: Array,
    accumulator: Array,
    cfg: Any,
    pool: Array,
) -> None:
    """mvin of one instruction; int8 into the accumulator passes the load queue's table."""
    row = signed(ins.local) & _ROW_MASK
    wide, rows, cols = (ins.flags & _WIDE) != 0, signed(ins.rows), signed(ins.cols)
    size = 4 if wide else 1
    into_accumulator = (ins.local & _ACCUMULATOR) != 0
    add = (ins.local & _ACCUMULATE) != 0
    multiply = (ins.local & _MULTIPLY) != 0
    table = ins.config >= 0
    for r in range(rows):
        at = base + ins.dram + r * ins.stride
        for block in range((cols + 15) // 16):
            target = row + block * rows + r
            width = min(16, cols - block * 16)
            start = at + block * 16 * size
            if not into_accumulator:
                for c in range(width):
                    scratchpad[target, c] = memory[start + c]
                for c in range(width, 16):
                    scratchpad[target, c] = 0
                continue
            for c in range(width):
                value = _int32_at(memory, start + 4 * c) if wide else signed(memory[start + c])
                if table:
                    channel = (ins.column + block * 16 + c) if cfg.per_channel > 1 else 0
                    value = rescale(
                        value, pool[cfg.multiplier + channel], pool[cfg.shift + channel]
                    )
                there = signed(accumulator[target, c]) if add else 0
                if multiply:
                    channel = (ins.column + block * 16 + c) if cfg.first_length > 1 else 0
                    there = rescale(there, pool[cfg.first + channel], pool[cfg.second + channel])
                    accumulator[target, c] = clipped(there, INT16_MAX) * clipped(value, INT16_MAX)
                else:
                    accumulator[target, c] = add_element(there, value)


@compiled
def _preload(ins: Any, scratchpad: Array, weights: Array) -> None:
    """Block of weights (k, n) into the array, zero outside."""
    row = signed(ins.local) & _ROW_MASK
    weights[:, :] = 0
    rows, cols = signed(ins.rows), signed(ins.cols)
    if ins.flags & _TRANSPOSE:
        for r in range(rows):
            for c in range(cols):
                weights[c, r] = scratchpad[row + r, c]
    else:
        for r in range(rows):
            for c in range(cols):
                weights[r, c] = scratchpad[row + r, c]


@compiled
def _compute(
    ins: Any, target: Integer, add: bool, scratchpad: Array, weights: Array, accumulator: Array
) -> None:
    """rows x 16 of A times the weights, into (or added to) the accumulator."""
    row = signed(ins.local) & _ROW_MASK
    sums = np.empty(16, dtype=np.float32)
    for r in range(signed(ins.rows)):
        sums[:] = 0
        for k in range(0, 16, 4):
            a0 = np.float32(scratchpad[row + r, k])
            a1 = np.float32(scratchpad[row + r, k + 1])
            a2 = np.float32(scratchpad[row + r, k + 2])
            a3 = np.float32(scratchpad[row + r, k + 3])
            for c in range(16):
                sums[c] += (
                    a0 * weights[k, c]
                    + a1 * weights[k + 1, c]
                    + a2 * weights[k + 2, c]
                    + a3 * weights[k + 3, c]
                )
        if add:
            for c in range(16):
                accumulator[target + r, c] += np.int32(sums[c])
        else:
            for c in range(16):
                accumulator[target + r, c] = np.int32(sums[c])


@compiled
def _normalise(
    ins: Any,
    cfg: Any,
    pool: Array,
    memory: Array,
    bases: Array,
    held: Array,
    result: Array,
    made: Array,
) -> None:
    """Whole rows through softmax, a norm or a rotation: held (16, columns) int32 -> result int8.

    made: (16,) the factors of softmax's rows.
    """
    width, columns = cfg.width, cfg.columns
    constants = pool[cfg.constants : cfg.constants + cfg.constants_length]
    length = max(cfg.per_channel, 1)
    multiplier = pool[cfg.multiplier : cfg.multiplier + length]
    shift = pool[cfg.shift : cfg.shift + length]
    for r in range(signed(ins.rows)):
        if cfg.command == _ROTARY:
            turn = (signed(ins.other) + r) * cfg.first_length
            pairs = (1, cfg.first_length)
            rotary_array(
                held[r, :columns].reshape((1, 1, columns // width, width)),
                multiplier,
                shift,
                pool[cfg.first + turn : cfg.first + turn + cfg.first_length].reshape(pairs),
                pool[cfg.second + turn : cfg.second + turn + cfg.first_length].reshape(pairs),
                constants[0],
                constants[1] != 0,
                constants[2],
                constants[3],
                result[r, :columns].reshape((1, 1, columns // width, width)),
            )
        elif cfg.command == _RMSNORM:
            gamma = pool[cfg.first : cfg.first + cfg.first_length]
            rmsnorm_row(
                held[r, :columns], width, multiplier, shift, gamma, constants, result[r, :columns]
            )
        elif cfg.command == _LAYERNORM:
            gamma = pool[cfg.first : cfg.first + width]
            beta = pool[cfg.second : cfg.second + width]
            layernorm_row(
                held[r, :width], multiplier, shift, gamma, beta, constants, result[r, :width]
            )
        else:
            seen = np.ones(width, dtype=np.int64)
            for c in range(width):
                if cfg.mask >= 0 and memory[bases[cfg.mask] + c] == 0:
                    seen[c] = 0
                ahead = c - (signed(ins.other) + r + cfg.offset)
                if cfg.causal and ahead > 0:
                    seen[c] = 0
                if cfg.window > 0 and abs(ahead) >= cfg.window:
                    seen[c] = 0
            total = softmax_row(
                held[r, :width], seen, multiplier[0], shift[0], constants, result[r, :width]
            )
            made[r] = row_factor(total)


@compiled
def _narrowed(value: Integer, channel: Integer, cfg: Any, pool: Array) -> Integer:
    """An accumulator value requantized or activated; channels index the tables."""
    table = channel if cfg.per_channel > 1 else 0
    multiplier, shift = pool[cfg.multiplier + table], pool[cfg.shift + table]
    if cfg.command == _REQUANTIZE:
        return requantize(value, multiplier, shift)
    if cfg.command == _MULTIPLIED:
        return part_of(rescale(value, multiplier, shift), pool[cfg.constants])
    out = channel if cfg.first_length > 1 else 0
    constants = pool[cfg.constants : cfg.constants + cfg.constants_length]
    common = rescale(value, multiplier, shift)
    if cfg.command == _SILU:
        return silu_element(
            common, constants, pool[cfg.first + out], pool[cfg.second + out], constants[3]
        )
    return gelu_element(common, constants, pool[cfg.first + out], pool[cfg.second + out])


@compiled
def _put_int32(memory: Array, at: Integer, value: Integer) -> None:
    """Little-endian int32 to byte `at`."""
    for byte in range(4):
        memory[at + byte] = np.int8((value >> (8 * byte)) & 255)


@compiled
def _read_factors(ins: Any, base: Integer, memory: Array, factors: Array) -> None:
    """The row factors that a config of the store queue brings."""
    for r in range(signed(ins.cols)):
        factors[r] = _int32_at(memory, base + ins.dram + 4 * r)


@compiled
def _move_out(
    ins: Any,
    cfg: Any,
    pool: Array,
    base: Integer,
    memory: Array,
    accumulator: Array,
    result: Array,
    factors: Array,
) -> None:
    """mvout of one instruction: int32 as it is, or what the store queue's table makes of it.

    factors: of the instruction's rows, by which they are multiplied first where the table says so.
    """
    row = signed(ins.local) & _ROW_MASK
    rows, cols = signed(ins.rows), signed(ins.cols)
    whole_row = cfg.columns > 0
    for r in range(rows):
        at = base + ins.dram + r * ins.stride
        for c in range(cols):
            value = signed(accumulator[row + r, c])
            if cfg.by_row:
                value = weighted_mean(value, factors[r])
            if whole_row:
                memory[at + c] = result[r, ins.column + c]
                continue
            if cfg.command != _NONE:
                value = _narrowed(value, ins.column + c, cfg, pool)
            if ins.flags & _WIDE:
                _put_int32(memory, at + 4 * c, value)
            else:
                memory[at + c] = np.int8(value)


@compiled
def run(
    instructions: Array,
    configurations: Array,
    pool: Array,
    bases: Array,
    memory: Array,
    scratchpad: Array,
    accumulator: Array,
    widest: Integer,
    tallest: Integer,
) -> None:
    """Executes the instructions in program order on memory (bytes as int8), in place.

    scratchpad (rows, 16) int8, accumulator (rows, 16) int32; widest: the longest row normalised;
    tallest: the most row factors that a config reads.
    """
    weights = np.zeros((16, 16), dtype=np.float32)
    held = np.zeros((16, widest), dtype=np.int32)
    result = np.zeros((16, widest), dtype=np.int8)
    made = np.zeros(16, dtype=np.int64)
    factors = np.zeros(tallest + 16, dtype=np.int64)
    first: Integer = 0
    store: Integer = 0
    target: Integer = 0
    add = False
    for i in range(instructions.shape[0]):
        ins = instructions[i]
        if ins.opcode == _CONFIG:
            if not ins.flags & _FOR_LOAD:
                store = signed(ins.config)
                first = signed(ins.other)
                _read_factors(ins, bases[ins.operand], memory, factors)
        elif ins.opcode == _MVIN:
            table = configurations[ins.config if ins.config > 0 else 0]
            _move_in(ins, bases[ins.operand], memory, scratchpad, accumulator, table, pool)
        elif ins.opcode == _PRELOAD:
            if ins.local != _KEEP:
                _preload(ins, scratchpad, weights)
            target = signed(ins.other) & _ROW_MASK
            add = (ins.other & _ACCUMULATE) != 0
        elif ins.opcode == _COMPUTE:
            _compute(ins, target, add, scratchpad, weights, accumulator)
        elif ins.opcode == _MVOUT:
            cfg: Any = configurations[store]
            if ins.flags & _STATISTICS:
                row = signed(ins.local) & _ROW_MASK
                for r in range(signed(ins.rows)):
                    for c in range(signed(ins.cols)):
                        held[r, ins.column + c] = accumulator[row + r, c]
                if ins.flags & _LAST:
                    _normalise(ins, cfg, pool, memory, bases, held, result, made)
            elif ins.flags & _FACTORS:
                for r in range(signed(ins.cols)):
                    _put_int32(memory, bases[ins.operand] + ins.dram + 4 * r, made[r])
            else:
                own = factors[signed(ins.other) - first :] if cfg.by_row else factors
                base = bases[ins.operand]
                _move_out(ins, cfg, pool, base, memory, accumulator, result, own)
