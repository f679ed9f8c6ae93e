"""Lowering of what the units behind the accumulator compute, alone: in, through, out."""

from __future__ import annotations

from inferstack.core.errors import MappingError
from inferstack.core.units import ceil_div
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.ir.graph import Graph, Operator
from inferstack.mapping.epilogue import LOADED_KINDS, ROW_KINDS
from inferstack.simulate import isa, templates
from inferstack.simulate.lower import (
    ACCUMULATOR_ROW_BYTES,
    Addend,
    Box,
    Emitter,
    buffer_rows,
    element_bytes,
    halves,
    level_for,
    loaded_operand,
    outcome_of,
)
from inferstack.simulate.tables import Tables

WIDEST_TILE = 256
"""Columns of a tile of an operator that goes element by element."""


def lower_vector(graph: Graph, operator: Operator, accelerator: Accelerator) -> isa.Program:
    """The program of one vector operator. Raises MappingError where one row does not fit."""
    result = graph.result(operator)
    columns = result.shape[-1]
    heads = result.shape[1] if operator.kind == "softmax" else 1
    rows = result.elements // columns // heads
    emitter = Emitter(graph=graph, tables=Tables(graph))
    level = level_for(accelerator, Role.OUTPUT)
    half = buffer_rows(level, ACCUMULATOR_ROW_BYTES)
    width = columns if operator.kind in ROW_KINDS else min(columns, WIDEST_TILE)
    height = half // ceil_div(width, templates.BLOCK)
    if height == 0:
        raise MappingError(
            f"operator {operator.name}",
            f"a row does not fit the {level.name}",
            got=f"{columns} columns",
            need=f"at most {half * templates.BLOCK}",
        )
    height = height // templates.BLOCK * templates.BLOCK or height
    addends = _operands(emitter, operator, columns)
    outcome = outcome_of(emitter, accelerator, operator, heads, columns)
    buffer = halves(level, half, 0)
    for head in range(heads):
        for row, size in templates.spans(rows, height):
            for column, part in templates.spans(columns, width):
                buffer.advance()
                before = head * rows
                box = Box(before + row, size, column, part)
                for index, addend in enumerate(addends):
                    emitter.load_addend(addend, box, buffer.start, index > 0)
                skipped = before * columns * outcome.element_bytes
                emitter.store(outcome, Box(row, size, column, part, skipped), buffer.start, head)
    used = half * (2 if level.double_buffered else 1)
    return emitter.finish(operator.name, operator.output, (0, used))


def _operands(emitter: Emitter, operator: Operator, columns: int) -> list[Addend]:
    """What is loaded into the accumulator; the first overwrites, the second adds."""
    if operator.kind in LOADED_KINDS:
        return [loaded_operand(emitter, operator, slot, columns, alone=True) for slot in "ab"]
    tensor = emitter.graph.operands(operator)["x"]
    return [
        Addend(
            operand=emitter.operand(tensor.name),
            element_bytes=element_bytes(tensor.dtype),
            row_elements=columns,
        )
    ]
