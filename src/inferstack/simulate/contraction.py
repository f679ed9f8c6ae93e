"""Lowering of contractions: matmul, attention scores and context, with fused epilogues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from inferstack.core.errors import MappingError
from inferstack.core.units import ceil_div
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.ir.graph import Graph, Operator
from inferstack.mapping.epilogue import ROW_KINDS
from inferstack.mapping.nest import Mapping
from inferstack.ops.registry import rule_for
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
from inferstack.simulate.schedule import Tile, largest_held, largest_tile, refetched, tiles
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
    """The state of the walk over tiles: what is resident where, and how far sums have come. addends
    are loaded in front of the first products, factors behind the last, which they multiply."""

    emitter: Emitter
    shape: Shape
    addends: list[Addend]
    factors: list[Addend]
    outcome: Outcome
    spill: Addend
    a: Buffer
    b: Buffer
    c: Buffer
    slots: tuple[str, str]
    refetched: frozenset[str]
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
            for factor in self.factors:
                self.emitter.load_addend(factor, box, self.c.start, True)
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
        outcome = Outcome(
            operand=self.spill.operand,
            element_bytes=INT32_BYTES,
            row_elements=self.shape.n,
            configs=(self.spill_operand,),
        )
        self.emitter.store(outcome, box, self.c.start, 0)

    def load_operands(self, number: int, entry: Entry, tile: Tile) -> None:
        """mvins of the chunks of A and B that are not there yet."""
        shape = self.shape
        a, b = (tile.chunk_of(slot) for slot in self.slots)
        key_a, key_b = (number, *a["m"], *a["k"]), (number, *b["n"], *b["k"])
        which = (
            key_a != self.resident_a or self.slots[0] in self.refetched,
            key_b != self.resident_b or self.slots[1] in self.refetched,
        )
        if which[0]:
            self.a.advance()
            self.resident_a = key_a
        if which[1]:
            self.b.advance()
            self.resident_b = key_b
        if not any(which):
            return
        for load_a, load_b in (
            [which] if a["k"] == b["k"] else [(which[0], False), (False, which[1])]
        ):
            if not load_a and not load_b:
                continue
            k = (a if load_a else b)["k"]
            made, is_b = templates.operand_loads(
                a["m"][1],
                b["n"][1],
                k[1],
                shape.transposed,
                (shape.a_stride, shape.b_stride),
                (load_a, load_b),
            )
            made = made.copy()
            b_row, b_column = (b["n"][0], k[0]) if shape.transposed else (k[0], b["n"][0])
            made["local"] += np.where(is_b, self.b.start, self.a.start).astype(np.uint32)
            made["dram"] += np.where(
                is_b,
                entry.b + b_row * shape.b_stride + b_column,
                entry.a + a["m"][0] * shape.a_stride + k[0],
            )
            self.emitter.parts.append(made)

    def multiply(self, tile: Tile, first_adds: bool) -> None:
        """The block products of a tile, at its place in what is held of A and B."""
        a, b = (tile.chunk_of(slot) for slot in self.slots)
        deep_a, deep_b = (ceil_div(held["k"][1], templates.BLOCK) for held in (a, b))
        wide_b = ceil_div(b["n"][1], templates.BLOCK)
        down_m, down_n = tile.m - a["m"][0], tile.n - b["n"][0]
        along_a, along_b = tile.k - a["k"][0], tile.k - b["k"][0]
        if self.shape.transposed:
            b_held, b_rows = (deep_b, along_b // templates.BLOCK), down_n * deep_b
        else:
            b_held, b_rows = (wide_b, down_n // templates.BLOCK), along_b * wide_b
        made = templates.computes(
            tile.m_size,
            tile.n_size,
            tile.k_size,
            self.shape.transposed,
            first_adds,
            (deep_a, along_a // templates.BLOCK),
            b_held,
        ).copy()
        made["local"][:, :, 0, 0] += np.uint32(self.b.start + b_rows)
        made["local"][..., 1] += np.uint32(self.a.start + down_m * deep_a)
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
    if fused and operator.kind == "attention_context":
        raise MappingError(
            f"operator {operator.name}",
            "divides by the sum of its rows on the way out: nothing can be fused to it",
            got=fused[0].name,
        )
    emitter = Emitter(graph=graph, tables=Tables(graph))
    last = fused[-1] if fused else operator
    emitter.operand(shape.a)
    b_operand = emitter.operand(shape.b)
    addends = list(_bias(emitter, operator))
    residuals, command = epilogue(emitter, accelerator, operator.output, fused, shape.n)
    addends += [one for one in residuals if not one.multiplies]
    largest = largest_tile(mapping, shape.extents)
    if command is not None and command.kind in ROW_KINDS:
        _need_whole_rows(mapping, shape, largest)
    plain = emitter.tables.plain()
    outcome = outcome_of(emitter, accelerator, last, len(shape.entries), shape.out_stride)
    spill = emitter.operand(isa.SPILL, shape.m * shape.n * INT32_BYTES)
    slots = (rule_for(operator).required[0], rule_for(operator).required[1])
    held = largest_held(mapping, shape.extents)
    sizes = [held.get(slot, largest) for slot in slots]
    for size in sizes:
        _need_whole_blocks(mapping, size, largest)
    a, b, c, rows = _buffers(mapping, shape, largest, sizes, accelerator)
    walk = _Walk(
        emitter=emitter,
        shape=shape,
        addends=addends,
        factors=[one for one in residuals if one.multiplies],
        outcome=outcome,
        spill=Addend(operand=spill, element_bytes=INT32_BYTES, row_elements=shape.n),
        a=a,
        b=b,
        c=c,
        slots=slots,
        refetched=refetched(mapping),
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


def _need_whole_blocks(mapping: Mapping, held: dict[str, int], tile: dict[str, int]) -> None:
    for dim, size in tile.items():
        if held[dim] > size and size % templates.BLOCK:
            raise MappingError(
                f"mapping of {mapping.operator}",
                f"a part of what is held along {dim} is not whole blocks",
                got=f"steps of {size}",
                need=f"a multiple of {templates.BLOCK}",
            )


def _buffers(
    mapping: Mapping,
    shape: Shape,
    largest: dict[str, int],
    held: list[dict[str, int]],
    accelerator: Accelerator,
) -> tuple[Buffer, Buffer, Buffer, tuple[int, int]]:
    """Local rows for what is held of A and B and for the tile of C; the rows of both memories."""
    where = f"mapping of {mapping.operator}"
    factors = level_for(accelerator, Role.INPUT)
    if level_for(accelerator, Role.WEIGHT) is not factors:
        raise MappingError(where, "inputs and weights have memories of their own", got=factors.name)
    results = level_for(accelerator, Role.OUTPUT)
    m, n, k = (largest[dim] for dim in ("m", "n", "k"))
    a_rows = templates.tile_rows(held[0]["m"], held[0]["k"])
    b_size = (held[1]["n"], held[1]["k"])
    b_rows = templates.tile_rows(*(b_size if shape.transposed else b_size[::-1]))
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
