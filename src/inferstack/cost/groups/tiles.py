"""The tiles of a group: from a tile of what it hands out, back to what each kernel has to make.

The kernels of a group walk tiles of rows together (tokens, or rows of an image), inside of heads,
inside of the batch. A kernel makes what its readers in the group need of it: a convolution's halo
is made again with each tile. A kernel that needs the same whatever the tile is made once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from inferstack.core.units import ceil_div
from inferstack.mapping.group import Tile
from inferstack.mapping.kernels import Kernel, Port
from inferstack.ops.distinct import distinct

Chunk = dict[str, int]
Region = tuple[int, ...]
"""Extent along each axis of a tensor."""
Shapes = Mapping[str, tuple[int, ...]]

HEAD_DIM = "g"
"""The dimension of attention's groups of heads that share keys and values."""
ROW_AXIS = {2: 0, 3: 1, 4: 2}
"""Tokens of (tokens, d) and (batch, tokens, d), rows of attention and of images, by rank."""
BATCHED_RANK = 3
ATTENTION_RANK = 4


def region(port: Port, chunk: Mapping[str, int], shapes: Shapes) -> Region:
    """What a chunk of the loops touches of a tensor, padding left out."""
    shape, indices = shapes[port.tensor], port.access.indices
    merged = len(shape) - len(indices)
    sizes = [distinct(tuple((c, chunk[name]) for name, c in i.terms)) for i in indices]
    if merged:
        # The first index walks the leading axes as one: a matmul's m.
        left, leading = sizes[0], list[int]()
        for axis in reversed(shape[: merged + 1]):
            leading.insert(0, min(axis, left))
            left = ceil_div(left, axis)
        sizes = [*leading, *sizes[1:]]
    return tuple(min(size, axis) for size, axis in zip(sizes, shape, strict=True))


def covering(kernel: Kernel, needed: Region) -> Chunk:
    """The chunk of a kernel's loops that makes a region of its result."""
    chunk, indices = kernel.space.extents, kernel.writes.access.indices
    merged = len(needed) - len(indices)
    sizes = (math.prod(needed[: merged + 1]), *needed[merged + 1 :])
    for index, size in zip(indices, sizes, strict=True):
        left = size
        for name, _ in sorted(index.terms, key=lambda term: abs(term[1])):
            extent = chunk[name]
            chunk[name] = min(extent, left)
            left = ceil_div(left, extent)
    return chunk


def row_dim(kernel: Kernel, shapes: Shapes) -> str | None:
    """The loop over the rows of what a kernel writes; None where no one loop walks them."""
    indices, rank = kernel.writes.access.indices, len(shapes[kernel.writes.tensor])
    axis = 0 if len(indices) < rank else ROW_AXIS.get(rank)
    if axis is None:
        return None
    terms = indices[axis].terms
    return terms[0][0] if len(terms) == 1 and terms[0][1] == 1 else None


def rows_of(kernel: Kernel, shapes: Shapes) -> int:
    """Rows of what a kernel writes, of one entry of the batch."""
    shape = shapes[kernel.writes.tensor]
    axis = ROW_AXIS.get(len(shape))
    return 1 if axis is None else shape[axis]


def batch_of(kernel: Kernel, shapes: Shapes) -> int:
    """Entries of the batch of what a kernel writes."""
    shape = shapes[kernel.writes.tensor]
    return shape[0] if len(shape) >= BATCHED_RANK else 1


def heads_of(kernels: Sequence[Kernel]) -> tuple[int, int] | None:
    """(groups of heads, query heads in each) of the attention in a group; None without one."""
    for kernel in kernels:
        extents = kernel.space.extents
        if kernel.contraction is not None and {HEAD_DIM, "r", "m"} <= set(extents):
            return extents[HEAD_DIM], extents["r"]
    return None


def sinks(kernels: Sequence[Kernel]) -> tuple[Kernel, ...]:
    """The kernels whose result nobody in the group reads."""
    read = {port.tensor for kernel in kernels for port in kernel.reads}
    return tuple(kernel for kernel in kernels if kernel.writes.tensor not in read)


def chunks_of(kernels: Sequence[Kernel], shapes: Shapes, tile: Tile) -> dict[str, Chunk] | None:
    """The chunk of every kernel's loops, by name; None where the group has no such tile."""
    made = {kernel.writes.tensor for kernel in kernels}
    ends = {kernel.name for kernel in sinks(kernels)}
    needed: dict[str, Region] = {}
    chunks: dict[str, Chunk] = {}
    for kernel in reversed(kernels):
        if kernel.name in ends:
            chunk = _end(kernel, kernels, shapes, tile)
            if chunk is None:
                return None
        else:
            chunk = covering(kernel, needed[kernel.writes.tensor])
        chunks[kernel.name] = chunk
        for port in kernel.reads:
            if port.tensor in made:
                wanted = region(port, chunk, shapes)
                before = needed.get(port.tensor, wanted)
                needed[port.tensor] = tuple(map(max, wanted, before))
    return chunks


def _end(kernel: Kernel, kernels: Sequence[Kernel], shapes: Shapes, tile: Tile) -> Chunk | None:
    """The chunk of a kernel whose result leaves the group."""
    chunk, indices = kernel.space.extents, kernel.writes.access.indices
    if tile.is_whole:
        return chunk
    dim = row_dim(kernel, shapes)
    if dim is None:
        return None
    rank = len(shapes[kernel.writes.tensor])
    rows = rows_of(kernel, shapes)
    chunk[dim] = min(rows, tile.rows or rows)
    if len(indices) == rank and rank >= BATCHED_RANK:
        if len(indices[0].terms) != 1:
            return None
        chunk[indices[0].terms[0][0]] = 1
    if not tile.by_head:
        return chunk
    heads = heads_of(kernels)
    if heads is None:
        return None
    if HEAD_DIM in chunk and kernel.contraction is not None:
        chunk[HEAD_DIM] = 1
        return chunk
    if rank == ATTENTION_RANK and shapes[kernel.writes.tensor][1] == math.prod(heads):
        ((name, _),) = indices[1].terms
        chunk[name] = heads[1]
        return chunk
    return None
