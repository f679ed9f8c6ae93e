"""Lowering of contractions: matmul, attention scores and context, with fused epilogues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from inferstack.core.errors import MappingError
from inferstack.core.units import ceil_div
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.ir.graph import Graph, Operator
from inferstack.mapping.nest import Mapping
from inferstack.simulate import isa, templates
from inferstack.simulate.lower import (
    ACCUMULATOR_ROW_BYTES,
    SCRATCHPAD_ROW_BYTES,
    Addend,
    Box,
    Buffer,
    Emitter,
    Outcome,
    buffer_rows,
    element_bytes,
    epilogue,
    halves,
    level_for,
    outcome_of,
)
from inferstack.simulate.schedule import Tile, largest_tile, tiles
from inferstack.simulate.tables import Tables

KINDS = ("matmul", "attention_scores", "attention_context")
INT32_BYTES = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One matrix product of a batch: byte offsets of A and B, elements in front of the output."""

    a: int
    b: int
    out: int
    channel: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A contraction as matrices in DRAM. Strides are elements between rows.

    transposed: B is stored n x k. entries: the batch (one per head).
    """

    m: int
    n: int
    k: int
    a: str
    b: str
    a_stride: int
    b_stride: int
    out_stride: int
    transposed: bool
    entries: tuple[Entry, ...]

    @property
    def extents(self) -> dict[str, int]:
        """Extent by dimension."""
        return {"m": self.m, "n": self.n, "k": self.k}


def shape_of(graph: Graph, operator: Operator) -> Shape:
    """The operator's matrices, at batch 1."""
    tensors = graph.operands(operator)
    if operator.kind == "matmul":
        transposed = bool(operator.attributes.get("transpose_b", False))
        n, k = tensors["b"].shape if transposed else tensors["b"].shape[::-1]
        return Shape(
            m=tensors["a"].elements // k,
            n=n,
            k=k,
            a=operator.inputs["a"],
            b=operator.inputs["b"],
            a_stride=k,
            b_stride=k if transposed else n,
            out_stride=n,
            transposed=transposed,
            entries=(Entry(0, 0, 0),),
        )
    heads, kv_heads = int(operator.attributes["heads"]), int(operator.attributes["kv_heads"])  # type: ignore[arg-type]
    group = heads // kv_heads
    if operator.kind == "attention_scores":
        query, key = tensors["query"], tensors["key"]
        tokens, context, width = query.shape[1], key.shape[1], query.shape[2] // heads
        return Shape(
            m=tokens,
            n=context,
            k=width,
            a=query.name,
            b=key.name,
            a_stride=heads * width,
            b_stride=kv_heads * width,
            out_stride=context,
            transposed=True,
            entries=tuple(
                Entry(h * width, h // group * width, h * tokens * context) for h in range(heads)
            ),
        )
    probabilities, value = tensors["probabilities"], tensors["value"]
    tokens, context, width = *probabilities.shape[2:], value.shape[2] // kv_heads
    return Shape(
        m=tokens,
        n=width,
        k=context,
        a=probabilities.name,
        b=value.name,
        a_stride=context,
        b_stride=kv_heads * width,
        out_stride=heads * width,
        transposed=False,
        entries=tuple(
            Entry(h * tokens * context, h // group * width, h * width, h * width)
            for h in range(heads)
        ),
    )


@dataclass(slots=True, kw_only=True)
class _Walk:
    """The state of the walk over tiles: what is resident where, and how far sums have come."""

    emitter: Emitter
    shape: Shape
    addends: list[Addend]
    outcome: Outcome
    spill: Addend
    a: Buffer
    b: Buffer
    c: Buffer
    resident_a: tuple[int, ...] = ()
    resident_b: tuple[int, ...] = ()
    resident_c: tuple[int, ...] = ()
    box_c: Box | None = None
    spill_operand: int = -1

    def run(self, mapping: Mapping) -> None:
        """Emits every tile of every batch entry."""
        for number, entry in enumerate(self.shape.entries):
            summed: dict[tuple[int, ...], int] = {}
            for tile in tiles(mapping, self.shape.extents):
                self.step(number, entry, tile, summed)

    def step(
        self, number: int, entry: Entry, tile: Tile, summed: dict[tuple[int, ...], int]
    ) -> None:
        """One tile: what has to come in, the block products, and what can leave."""
        key = (number, tile.m, tile.n)
        before = summed.get(key, 0)
        box = self.box(entry, tile)
        if key != self.resident_c:
            self.spill_resident()
            self.c.advance()
            self.resident_c, self.box_c = key, box
            self.load_sums(box, before)
        self.load_operands(number, entry, tile)
        self.multiply(tile, before > 0 or bool(self.addends))
        summed[key] = before + tile.k_size
        if summed[key] == self.shape.k:
            self.emitter.store(self.outcome, box, self.c.start, number)
            self.resident_c, self.box_c = (), None

    def box(self, entry: Entry, tile: Tile) -> Box:
        """The output tile."""
        offset = entry.out * self.outcome.element_bytes
        return Box(tile.m, tile.m_size, tile.n, tile.n_size, offset, entry.channel)

    def load_sums(self, box: Box, before: int) -> None:
        """Bias and residual in front of the first products, or the sums that were put away."""
        if before:
            self.emitter.load_addend(self.spill, box, self.c.start, False)
            return
        for index, addend in enumerate(self.addends):
            self.emitter.load_addend(addend, box, self.c.start, index > 0)

    def spill_resident(self) -> None:
        """Puts unfinished sums of the resident output tile away."""
        if self.box_c is None:
            return
        box = Box(self.box_c.row, self.box_c.rows, self.box_c.column, self.box_c.columns)
        plain = self.emitter.tables.configurations
        outcome = Outcome(
            operand=self.spill.operand,
            element_bytes=INT32_BYTES,
            row_elements=self.shape.n,
            configs=(self.spill_operand,),
        )
        assert plain[self.spill_operand]["command"] == isa.NONE
        self.emitter.store(outcome, box, self.c.start, 0)

    def load_operands(self, number: int, entry: Entry, tile: Tile) -> None:
        """mvins of the A and B tiles that are not there yet."""
        shape = self.shape
        key_a, key_b = (number, tile.m, tile.k), (number, tile.n, tile.k)
        which = (key_a != self.resident_a, key_b != self.resident_b)
        if not any(which):
            return
        made, is_b = templates.operand_loads(
            tile.m_size,
            tile.n_size,
            tile.k_size,
            shape.transposed,
            (shape.a_stride, shape.b_stride),
            which,
        )
        made = made.copy()
        if which[0]:
            self.a.advance()
            self.resident_a = key_a
        if which[1]:
            self.b.advance()
            self.resident_b = key_b
        b_row, b_column = (tile.n, tile.k) if shape.transposed else (tile.k, tile.n)
        made["local"] += np.where(is_b, self.b.start, self.a.start).astype(np.uint32)
        made["dram"] += np.where(
            is_b,
            entry.b + b_row * shape.b_stride + b_column,
            entry.a + tile.m * shape.a_stride + tile.k,
        )
        self.emitter.parts.append(made)

    def multiply(self, tile: Tile, first_adds: bool) -> None:
        """The block products of a tile."""
        made = templates.computes(
            tile.m_size, tile.n_size, tile.k_size, self.shape.transposed, first_adds
        ).copy()
        made["local"][:, :, 0, 0] += np.uint32(self.b.start)
        made["local"][..., 1] += np.uint32(self.a.start)
        made["other"][..., 0] += np.uint32(self.c.start)
        self.emitter.parts.append(made.reshape(-1))


def lower_contraction(
    graph: Graph,
    operator: Operator,
    fused: Sequence[Operator],
    mapping: Mapping,
    accelerator: Accelerator,
) -> isa.Program:
    """The program of a contraction with `fused` operators on the way out.

    Raises MappingError where a tile does not fit or a fused operator cannot be computed.
    """
    shape = shape_of(graph, operator)
    emitter = Emitter(graph=graph, tables=Tables(graph))
    last = fused[-1] if fused else operator
    emitter.operand(shape.a)
    b_operand = emitter.operand(shape.b)
    addends = list(_bias(emitter, operator))
    residuals, command = epilogue(emitter, accelerator, operator.output, fused, shape.n)
    addends += residuals
    largest = largest_tile(mapping, shape.extents)
    if command is not None and command.kind in ("softmax", "layernorm"):
        _need_whole_rows(mapping, shape, largest)
    plain = emitter.tables.plain()
    outcome = outcome_of(emitter, accelerator, last, len(shape.entries), shape.out_stride)
    spill = emitter.operand(isa.SPILL, shape.m * shape.n * INT32_BYTES)
    a, b, c, rows = _buffers(mapping, shape, largest, accelerator)
    walk = _Walk(
        emitter=emitter,
        shape=shape,
        addends=addends,
        outcome=outcome,
        spill=Addend(operand=spill, element_bytes=INT32_BYTES, row_elements=shape.n),
        a=a,
        b=b,
        c=c,
        spill_operand=plain,
    )
    walk.run(mapping)
    if b_operand == 0:
        for part in emitter.parts:
            part["operand"][(part["opcode"] == isa.MVIN) & (part["operand"] == 1)] = 0
    return emitter.finish(operator.name, last.output, rows)


def _bias(emitter: Emitter, operator: Operator) -> Iterator[Addend]:
    """The bias, one row repeated."""
    if "bias" in operator.inputs:
        tensor = emitter.graph.operands(operator)["bias"]
        yield Addend(
            operand=emitter.operand(tensor.name),
            element_bytes=element_bytes(tensor.dtype),
            row_elements=0,
        )


def _need_whole_rows(mapping: Mapping, shape: Shape, largest: dict[str, int]) -> None:
    if largest["n"] < shape.n:
        raise MappingError(
            f"mapping of {mapping.operator}",
            "the fused operator needs whole rows in the accumulator",
            got=f"tiles of {largest['n']} columns",
            need=f"{shape.n}",
        )


def _buffers(
    mapping: Mapping, shape: Shape, largest: dict[str, int], accelerator: Accelerator
) -> tuple[Buffer, Buffer, Buffer, tuple[int, int]]:
    """Local rows for the tiles of A, B and C, and the rows of both memories in all."""
    where = f"mapping of {mapping.operator}"
    factors = level_for(accelerator, Role.INPUT)
    if level_for(accelerator, Role.WEIGHT) is not factors:
        raise MappingError(where, "inputs and weights have memories of their own", got=factors.name)
    results = level_for(accelerator, Role.OUTPUT)
    m, n, k = (largest[dim] for dim in ("m", "n", "k"))
    a_rows = m * ceil_div(k, templates.BLOCK)
    b_rows = templates.tile_rows(n, k) if shape.transposed else templates.tile_rows(k, n)
    c_rows = templates.tile_rows(m, n)
    half, half_c = (
        buffer_rows(level, size)
        for level, size in ((factors, SCRATCHPAD_ROW_BYTES), (results, ACCUMULATOR_ROW_BYTES))
    )
    for level, need, limit in ((factors, a_rows + b_rows, half), (results, c_rows, half_c)):
        if need > limit:
            raise MappingError(
                where,
                f"the tile {m} x {n} x {k} does not fit the {level.name}",
                got=f"{need} rows",
                need=f"at most {limit}",
            )
    times = 2 if factors.double_buffered else 1
    times_c = 2 if results.double_buffered else 1
    return (
        halves(factors, half, 0),
        halves(factors, half, a_rows),
        halves(results, half_c, 0),
        (times * half, times_c * half_c),
    )
