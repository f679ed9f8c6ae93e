"""Operators and mappings to programs.

A contraction with what is fused to it becomes loads of tiles in the mapping's order, block
products, and stores through the epilogue. A vector operator alone becomes loads into the
accumulator and stores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.dtypes import DType
from inferstack.core.errors import MappingError
from inferstack.hardware.accelerator import Accelerator, Level, Role
from inferstack.ir.graph import Graph, Operator
from inferstack.mapping.epilogue import COMMAND_KINDS, LOADED_KINDS, PRODUCT, ROW_KINDS
from inferstack.simulate import isa, templates
from inferstack.simulate.tables import ACTIVATIONS, Tables

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

SCRATCHPAD_ROW_BYTES = 16
ACCUMULATOR_ROW_BYTES = 64


@dataclass(slots=True, kw_only=True)
class Buffer:
    """Local rows for one operand: one or two tiles that take turns."""

    starts: tuple[int, ...]
    turn: int = 0

    def advance(self) -> None:
        """The next tile goes to the other half."""
        self.turn = (self.turn + 1) % len(self.starts)

    @property
    def start(self) -> int:
        """First row of the current tile."""
        return self.starts[self.turn]


@dataclass(slots=True, kw_only=True)
class Addend:
    """A tensor loaded into the accumulator: bias, residual, or a vector operator's operand.

    row_elements: distance of rows in elements; 0 repeats one row. config: the load table, or -1.
    multiplies: what is there, instead of being added to it.
    """

    operand: int
    element_bytes: int
    row_elements: int
    config: int = -1
    multiplies: bool = False


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How results leave the accumulator.

    configs: the store table by batch entry (or one for all). passes: accumulator passes per row
    of a row command, 0 for anything else. row_elements: distance of rows of the output in elements.
    factors: operand of the rows' factors, which a softmax writes and an attention context reads; -1
    without. factor_rows: rows of a batch entry.
    """

    operand: int
    element_bytes: int
    row_elements: int
    configs: tuple[int, ...]
    passes: int = 0
    factors: int = -1
    factor_rows: int = 0


@dataclass(slots=True)
class Emitter:
    """Collects instructions, operands and tables of one program."""

    graph: Graph
    tables: Tables
    operands: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    parts: list[Array] = field(default_factory=list)
    store_config: int = -1

    def operand(self, tensor: str, size_bytes: int | None = None) -> int:
        """The operand number of a tensor."""
        if tensor not in self.operands:
            self.operands.append(tensor)
            size = self.graph.tensors[tensor].size_bytes if size_bytes is None else size_bytes
            self.sizes.append(size)
        return self.operands.index(tensor)

    def configure(self, config: int, for_load: bool) -> None:
        """Emits a config instruction, where the queue has another table."""
        if not for_load and config == self.store_config:
            return
        made = np.zeros(1, dtype=isa.INSTRUCTION)
        made["opcode"], made["config"] = isa.CONFIG, config
        made["stride"] = self.tables.payload_bytes[config]
        made["flags"] = isa.FOR_LOAD if for_load else 0
        if not for_load:
            self.store_config = config
        self.parts.append(made)

    def read_factors(self, config: int, outcome: Outcome, box: Box, entry: int) -> None:
        """Emits a config that reads the factors of a box's rows, and the table where it is new."""
        made = np.zeros(1, dtype=isa.INSTRUCTION)
        made["opcode"], made["config"] = isa.CONFIG, config
        table = 0 if config == self.store_config else self.tables.payload_bytes[config]
        made["stride"] = table + box.rows * isa.FACTOR_BYTES
        made["operand"], made["cols"], made["other"] = outcome.factors, box.rows, box.row
        made["dram"] = (entry * outcome.factor_rows + box.row) * isa.FACTOR_BYTES
        self.store_config = config
        self.parts.append(made)

    def load_addend(self, addend: Addend, box: Box, local: int, adds: bool) -> None:
        """mvins of one operand's box into the accumulator at row `local`."""
        size, stride = addend.element_bytes, addend.row_elements * addend.element_bytes
        flags = isa.WIDE if size > 1 else 0
        made = templates.moves(isa.MVIN, box.rows, box.columns, stride, size, flags, stride).copy()
        onto = isa.ACCUMULATE + (isa.MULTIPLY if addend.multiplies else 0) if adds else 0
        made["local"] += local + isa.ACCUMULATOR + onto
        made["dram"] += box.row * stride + box.column * size
        made["column"] += box.column
        made["operand"], made["config"] = addend.operand, addend.config
        self.parts.append(made)

    def store(self, outcome: Outcome, box: Box, local: int, entry: int) -> None:
        """mvouts of a box; entry: the batch entry, which picks the table."""
        config, factors = (
            outcome.configs[min(entry, len(outcome.configs) - 1)],
            outcome.factors >= 0,
        )
        if factors and not outcome.passes:
            self.read_factors(config, outcome, box, entry)
        else:
            self.configure(config, False)
        size, stride = outcome.element_bytes, outcome.row_elements * outcome.element_bytes
        if outcome.passes:
            made = templates.normalised(
                box.rows, box.columns, outcome.passes, stride, factors
            ).copy()
        else:
            flags = isa.WIDE if size > 1 else 0
            made = templates.moves(
                isa.MVOUT, box.rows, box.columns, stride, size, flags, stride, 16 * size
            ).copy()
        made["local"] += local + isa.ACCUMULATOR
        apart = made["flags"] & isa.FACTORS != 0
        at = box.offset + box.row * stride + box.column * size
        before = (entry * outcome.factor_rows + box.row) * isa.FACTOR_BYTES
        made["dram"] += np.where(apart, before, at)
        made["column"] += box.column + box.channel
        made["other"] += box.row
        made["operand"] = np.where(apart, max(outcome.factors, 0), outcome.operand)
        self.parts.append(made)

    def finish(self, name: str, output: str, rows: tuple[int, int]) -> isa.Program:
        """The program. rows: local rows used of scratchpad and accumulator."""
        fence = np.zeros(1, dtype=isa.INSTRUCTION)
        fence["opcode"] = isa.FENCE
        instructions = np.concatenate([*self.parts, fence])
        configurations, pool = self.tables.packed()
        digest = hashlib.blake2b(instructions.tobytes(), digest_size=16)
        digest.update(configurations.tobytes())
        digest.update(np.array(self.sizes, dtype=np.int64).tobytes())
        code = isa.Code(
            instructions=instructions,
            configurations=configurations,
            operand_bytes=tuple(self.sizes),
            scratchpad_rows=rows[0],
            accumulator_rows=rows[1],
            signature=digest.hexdigest(),
        )
        isa.check_addresses(code)
        return isa.Program(
            name=name, code=code, constants=pool, operands=tuple(self.operands), output=output
        )


@dataclass(frozen=True, slots=True)
class Box:
    """Part of a matrix in DRAM: rows and columns from (row, column).

    offset: bytes in front of the matrix. channel: added to the column to index tables.
    """

    row: int
    rows: int
    column: int
    columns: int
    offset: int = 0
    channel: int = 0


def element_bytes(dtype: DType) -> int:
    """1 for int8, 4 for int32: what the machine moves. Raises MappingError for others."""
    if dtype not in (DType.INT8, DType.INT32):
        raise MappingError("simulate", "the machine moves int8 and int32 only", got=dtype.value)
    return dtype.bits // 8


def level_for(accelerator: Accelerator, role: Role) -> Level:
    """The on-chip level that holds operands of `role`."""
    return next(level for level in accelerator.levels[1:] if role in level.holds)


def buffer_rows(level: Level, row_bytes: int) -> int:
    """Rows that one tile generation may take."""
    usable = level.usable_bytes
    assert usable is not None, f"level {level.name} has no capacity"
    return usable // row_bytes


def halves(level: Level, half_rows: int, offset: int) -> Buffer:
    """Two buffers at `offset` of each half, or one without double buffering."""
    starts = (offset, half_rows + offset) if level.double_buffered else (offset,)
    return Buffer(starts=starts)


def epilogue(
    emitter: Emitter,
    accelerator: Accelerator,
    source: str,
    fused: Sequence[Operator],
    row_elements: int,
) -> tuple[list[Addend], Operator | None]:
    """The residual operands of leading adds, and the command that follows them, if any.

    source: the tensor computed so far. Raises MappingError for groups that no store can compute.
    """
    addends: list[Addend] = []
    command: Operator | None = None
    graph = emitter.graph
    for operator in fused:
        where = f"operator {operator.name} fused to {source}"
        if not accelerator.supports(operator.kind):
            raise MappingError(where, f"{accelerator.name} has no unit for it", got=operator.kind)
        if command is not None:
            raise MappingError(where, "a command already follows the accumulator")
        if operator.kind in LOADED_KINDS:
            own = "a" if operator.inputs["a"] == source else "b"
            other = "b" if own == "a" else "a"
            rescaled = f"{own}_multiplier" in operator.inputs and operator.kind != PRODUCT
            if operator.inputs[own] != source or rescaled:
                raise MappingError(where, "the accumulator is not its unscaled operand")
            addends.append(loaded_operand(emitter, operator, other, row_elements, alone=False))
            command = operator if operator.kind == PRODUCT else None
        elif operator.inputs.get("x") == source and operator.kind in COMMAND_KINDS:
            command = operator
        else:
            raise MappingError(where, "cannot be computed on the way out", got=operator.kind)
        source = operator.output
    assert graph.tensors[source] is not None
    return addends, command


def loaded_operand(
    emitter: Emitter, operator: Operator, slot: str, row_elements: int, *, alone: bool
) -> Addend:
    """One side of an add or a product, as rows of `row_elements`; a single row is repeated.

    alone: both sides are loaded, a first.
    """
    tensor = emitter.graph.operands(operator)[slot]
    config, multiplies = -1, operator.kind == PRODUCT and not (slot == "a" and alone)
    if multiplies:
        config = emitter.tables.factor(operator, slot)
    elif operator.kind != PRODUCT and f"{slot}_multiplier" in operator.inputs:
        config = emitter.tables.scale_in(operator, f"{slot}_")
    if config >= 0:
        emitter.configure(config, True)
    return Addend(
        operand=emitter.operand(tensor.name),
        element_bytes=element_bytes(tensor.dtype),
        row_elements=0 if tensor.elements == row_elements else row_elements,
        config=config,
        multiplies=multiplies,
    )


def outcome_of(
    emitter: Emitter,
    accelerator: Accelerator,
    last: Operator,
    entries: int,
    row_elements: int,
) -> Outcome:
    """How the group's last operator leaves the accumulator."""
    tables, unit = emitter.tables, accelerator.vector_unit
    result = emitter.graph.result(last)
    passes, factors, by_row = 0, -1, last.kind == "attention_context"
    factor_rows = result.shape[-2] if last.kind == "softmax" or by_row else 0
    if factor_rows:
        name = last.inputs["probabilities"] if by_row else last.output
        factors = emitter.operand(isa.factors_of(name), entries * factor_rows * isa.FACTOR_BYTES)
    if last.kind == "softmax":
        mask = -1
        if "mask" in last.inputs:
            name = last.inputs["mask"]
            mask = emitter.operand(name, emitter.graph.tensors[name].elements)
        length = tables.data(last, "multiplier").size if "multiplier" in last.inputs else 1
        heads = range(entries if length > 1 else 1)
        configs = tuple(tables.softmax(last, head, mask) for head in heads)
    elif last.kind == "layernorm":
        configs = (tables.layernorm(last),)
    elif last.kind == "rmsnorm":
        configs = (tables.rmsnorm(last),)
    elif last.kind == "rotary":
        configs = (tables.rotary(last),)
    elif last.kind in ACTIVATIONS:
        configs = (tables.activation(last),)
    elif last.kind == PRODUCT:
        configs = (tables.product(last),)
    elif last.kind != "add" and "multiplier" in last.inputs:
        configs = (tables.requantize(last, by_row),)
    else:
        configs = (tables.plain(by_row),)
    if last.kind in ROW_KINDS:
        assert unit is not None, "a row command without a unit"
        passes = max(2, unit.passes[last.kind])
    return Outcome(
        operand=emitter.operand(result.name),
        element_bytes=element_bytes(result.dtype),
        row_elements=row_elements,
        configs=configs,
        passes=passes,
        factors=factors,
        factor_rows=factor_rows,
    )
