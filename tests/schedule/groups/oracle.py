"""Runs the loops of a group element by element: what every kernel reads and makes in every tile."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inferstack.mapping.group import Tile
from inferstack.mapping.kernels import Kernel, KernelGraph, Port

Index = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Needed:
    """One tile: by kernel, the elements it makes; by (kernel, tensor), the elements it reads."""

    makes: dict[str, frozenset[Index]]
    reads: dict[tuple[str, str], frozenset[Index]]


def index_of(port: Port, point: dict[str, int], shape: tuple[int, ...]) -> Index | None:
    """The element that a point touches, in the tensor's own axes; None in the padding."""
    values = [sum(c * point[d] for d, c in i.terms) + i.offset for i in port.access.indices]
    merged = len(shape) - len(values)
    if merged:
        leading, rest = list[int](), values[0]
        for axis in reversed(shape[: merged + 1]):
            leading.insert(0, rest % axis)
            rest //= axis
        values = [*leading, *values[1:]]
    inside = all(0 <= v < size for v, size in zip(values, shape, strict=True))
    return tuple(values) if inside else None


def points(kernel: Kernel) -> Iterator[dict[str, int]]:
    """All points of a kernel's loops."""
    names = [name for name, _ in kernel.space.dims]
    for values in itertools.product(*(range(extent) for _, extent in kernel.space.dims)):
        yield dict(zip(names, values, strict=True))


def tiles(
    graph: KernelGraph, kernels: Sequence[Kernel], tile: Tile, heads: int
) -> Iterator[Needed]:
    """Every tile in order: batch, heads, rows of what leaves the group."""
    read = {port.tensor for kernel in kernels for port in kernel.reads}
    ends = [kernel for kernel in kernels if kernel.writes.tensor not in read]
    shape = graph.shapes[ends[0].writes.tensor]
    axis = {2: 0, 3: 1, 4: 2}[len(shape)]
    rows, batch = shape[axis], shape[0] if len(shape) >= 3 else 1
    step = tile.rows or rows
    by_batch = not (tile.rows is None and not tile.by_head)
    for entry in range(batch) if by_batch else (None,):
        for head in range(heads) if tile.by_head else (None,):
            for start in range(0, rows, step):
                wanted = {
                    kernel.writes.tensor: frozenset(
                        index
                        for index in itertools.product(
                            *map(range, graph.shapes[kernel.writes.tensor])
                        )
                        if start <= index[axis] < start + step
                        and (entry is None or len(shape) < 3 or index[0] == entry)
                        and (
                            head is None
                            or _of_head(index, graph.shapes[kernel.writes.tensor], head, heads)
                        )
                    )
                    for kernel in ends
                }
                yield _needed(graph, kernels, wanted)


def _of_head(index: Index, shape: tuple[int, ...], head: int, heads: int) -> bool:
    axis = 1 if len(shape) == 4 else len(shape) - 1
    return index[axis] // (shape[axis] // heads) == head


def _needed(
    graph: KernelGraph, kernels: Sequence[Kernel], wanted: dict[str, frozenset[Index]]
) -> Needed:
    makes: dict[str, frozenset[Index]] = {}
    reads: dict[tuple[str, str], frozenset[Index]] = {}
    needed: dict[str, set[Index]] = {tensor: set(indices) for tensor, indices in wanted.items()}
    for kernel in reversed(kernels):
        tensor = kernel.writes.tensor
        own = needed.get(tensor, set())
        touched: dict[str, set[Index]] = {port.tensor: set() for port in kernel.reads}
        for point in points(kernel):
            out = index_of(kernel.writes, point, graph.shapes[tensor])
            if out not in own:
                continue
            for port in kernel.reads:
                index = index_of(port, point, graph.shapes[port.tensor])
                if index is not None:
                    touched[port.tensor].add(index)
        makes[kernel.name] = frozenset(own)
        for name, indices in touched.items():
            reads[kernel.name, name] = frozenset(indices)
            needed.setdefault(name, set()).update(indices)
    return Needed(makes=makes, reads=reads)
