"""The loops that the kernels of a group walk together, and what moves with them.

for each entry of the batch, for each head, for each tile of rows
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from inferstack.cost.groups.columns import Columns, columns_of
from inferstack.cost.groups.tiles import (
    BATCHED_RANK,
    Chunk,
    Shapes,
    batch_of,
    chunks_of,
    heads_of,
    region,
    rows_of,
    sinks,
)
from inferstack.mapping.group import Tile
from inferstack.mapping.kernels import Kernel, Port


@dataclass(frozen=True, slots=True, kw_only=True)
class Trips:
    """How often each loop turns. rows: of full tiles; last: rows of one more, smaller tile."""

    batch: int
    heads: int
    rows: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A group under a tile: chunks of every kernel, and of the tile with one loop less.

    all_rows: the chunks with all rows in one tile; all_heads: with all heads at once. columns: of
    an attention that goes by the running maximum; chunks are of one turn, whole_rows of all.
    """

    shapes: Shapes
    whole: bool
    trips: Trips
    chunks: dict[str, Chunk]
    all_rows: dict[str, Chunk]
    all_heads: dict[str, Chunk]
    whole_rows: dict[str, Chunk]
    columns: Columns | None

    def turns(self, kernel: Kernel) -> int:
        """How often a kernel comes round in each tile."""
        columns = self.columns
        return columns.turns if columns is not None and kernel.name in columns.names else 1

    def outlasts_turns(self, kernel: Kernel, port: Port) -> bool:
        """Whether a kernel reads the same of a tensor in every turn of several."""
        whole = region(port, self.whole_rows[kernel.name], self.shapes)
        same = region(port, self.chunks[kernel.name], self.shapes) == whole
        return self.turns(kernel) > 1 and same

    def tile_bytes(self, kernel: Kernel, port: Port) -> int:
        """Bytes that a kernel reads of a tensor in all turns of a tile."""
        elements = math.prod(region(port, self.whole_rows[kernel.name], self.shapes))
        return -(-elements * port.bits // 8)

    def kernel_moves(self, kernel: Kernel) -> tuple[bool, bool]:
        """Whether what a kernel makes changes with the rows, and with the heads."""
        chunk = self.chunks[kernel.name]
        return chunk != self.all_rows[kernel.name], chunk != self.all_heads[kernel.name]

    def port_moves(self, kernel: Kernel, port: Port) -> tuple[bool, bool]:
        """Whether what a kernel touches of a tensor changes with the rows, and with the heads."""
        own = region(port, self.chunks[kernel.name], self.shapes)
        return (
            own != region(port, self.all_rows[kernel.name], self.shapes),
            own != region(port, self.all_heads[kernel.name], self.shapes),
        )

    def times(self, moves: tuple[bool, bool], rows: int, first: bool, batched: bool) -> int:
        """How often something comes round in a pass of `rows` tiles; in a later pass only what
        changes with the rows does.

        What changes with a loop is there for one of its turns at a time, and comes round again in
        every turn of the loops outside of it.
        """
        if moves[0]:
            return rows * self.trips.heads * self.trips.batch
        if not first:
            return 0
        if moves[1]:
            return self.trips.heads * self.trips.batch
        return self.trips.batch if batched else 1

    def batched(self, kernel: Kernel, port: Port) -> bool:
        """Whether what a kernel touches of a tensor is one entry of a batch that is walked."""
        shape = self.shapes[port.tensor]
        if self.trips.batch == 1 or len(shape) < BATCHED_RANK or shape[0] != self.trips.batch:
            return False
        return region(port, self.chunks[kernel.name], self.shapes)[0] == 1

    def size_bytes(self, kernel: Kernel, port: Port) -> int:
        """Bytes that a chunk of a kernel reads or writes of a tensor."""
        elements = math.prod(region(port, self.chunks[kernel.name], self.shapes))
        return -(-elements * port.bits // 8)


def walk(kernels: Sequence[Kernel], shapes: Shapes, tile: Tile) -> Walk | None:
    """The loops of a group; None where it has no such tile."""
    ends = sinks(kernels)
    rows = {rows_of(kernel, shapes) for kernel in ends}
    batches = {batch_of(kernel, shapes) for kernel in ends}
    if not tile.is_whole and (len(rows) > 1 or len(batches) > 1):
        return None
    (most, *_), (batch, *_) = sorted(rows), sorted(batches)
    step = min(tile.rows or most, most)
    chunks = chunks_of(kernels, shapes, tile)
    by_rows = by_heads = chunks
    if not tile.is_whole:
        by_rows = chunks_of(kernels, shapes, Tile(rows=most, by_head=tile.by_head))
        by_heads = chunks_of(kernels, shapes, Tile(rows=step, by_head=False))
    if chunks is None or by_rows is None or by_heads is None:
        return None
    heads, whole_rows, columns = heads_of(kernels), chunks, None
    if tile.columns is not None:
        columns = columns_of(kernels, tile.columns)
        if columns is None:
            return None
        narrowed = (columns.narrowed(one, kernels) for one in (chunks, by_rows, by_heads))
        chunks, by_rows, by_heads = narrowed
    return Walk(
        shapes=shapes,
        whole=tile.is_whole,
        trips=Trips(
            batch=1 if tile.is_whole else batch,
            heads=heads[0] if tile.by_head and heads is not None else 1,
            rows=most // step,
            last=most % step,
        ),
        chunks=chunks,
        all_rows=by_rows,
        all_heads=by_heads,
        whole_rows=whole_rows,
        columns=columns,
    )
