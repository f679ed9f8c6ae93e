"""Where the tensors of a group are under a tile: passed on, kept in the level, or sent to DRAM.

Nothing of it depends on the level or on what is pinned, so that it is worked out once a tile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from inferstack.cost.groups.columns import ROW_STATISTICS
from inferstack.cost.groups.walk import Walk
from inferstack.mapping.kernels import Kernel, KernelGraph

PARTIAL_BYTES = 4
"""Of a partial sum that is kept from one chunk of columns to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A group under one walk; sequences by kernel.

    inline: computed on the way out of the kernel in front. stays: its result is kept for another
    kernel of the group. leaves: its result goes to DRAM. chains: (first, behind the last) of each
    kernel with what is computed on its way out. live_bytes: by chain, results that are kept while
    it works. sizes: bytes by tensor from outside. pinnable: those that it may pay to pin, the
    smallest first. partial_bytes: of a context by the running maximum.
    """

    kernels: tuple[Kernel, ...]
    walk: Walk
    inline: tuple[bool, ...]
    stays: tuple[bool, ...]
    leaves: tuple[bool, ...]
    chains: tuple[tuple[int, int], ...]
    live_bytes: tuple[int, ...]
    sizes: dict[str, int]
    pinnable: tuple[str, ...]
    partial_bytes: int

    def is_connected(self, pinned: frozenset[str]) -> bool:
        """Whether its kernels share results or pinned tensors, so that they are one group."""
        groups: list[set[str]] = []
        for kernel in self.kernels:
            touched = {port.tensor for port in kernel.reads if port.tensor in pinned}
            touched |= {port.tensor for port in kernel.reads if port.tensor not in self.sizes}
            touched |= set() if kernel.appends else {kernel.writes.tensor}
            touched.add(f"kernel {kernel.name}")
            apart = [group for group in groups if not group & touched]
            joined = set().union(touched, *(group for group in groups if group & touched))
            groups = [*apart, joined]
        return len(groups) == 1

    def most_bytes(self, pinned: frozenset[str]) -> int:
        """The most that is kept at once."""
        return max(self.live_bytes) + sum(self.sizes[tensor] for tensor in pinned)


def layout(graph: KernelGraph, kernels: Sequence[Kernel], walk: Walk) -> Layout:
    """The layout of a group under a walk."""
    inline = tuple(n > 0 and _is_inline(graph, kernels[n - 1], k) for n, k in enumerate(kernels))
    starts = [n for n, passed in enumerate(inline) if not passed]
    chains = tuple(zip(starts, [*starts[1:], len(kernels)], strict=True))
    readers = [_readers(kernels, kernel.writes.tensor) for kernel in kernels]
    stays, leaves = list[bool](), list[bool]()
    for number, kernel in enumerate(kernels):
        passed_on = number + 1 < len(kernels) and inline[number + 1]
        stays.append(bool(readers[number]) and not passed_on and not kernel.appends)
        tensor = kernel.writes.tensor
        outside = len(graph.readers(tensor)) > len(readers[number])
        leaves.append(not passed_on and (outside or tensor in graph.outputs or not stays[number]))
    sizes, pinnable = _from_outside(kernels, walk)
    made = Layout(
        kernels=tuple(kernels),
        walk=walk,
        inline=inline,
        stays=tuple(stays),
        leaves=tuple(leaves),
        chains=chains,
        live_bytes=(),
        sizes=sizes,
        pinnable=pinnable,
        partial_bytes=_partial_bytes(kernels, walk),
    )
    return _with_live_bytes(made, readers)


def _with_live_bytes(made: Layout, readers: Sequence[Sequence[int]]) -> Layout:
    """Results stay from their writer to their last reader, or on from tile to tile where their
    writer does not come round as often.
    """
    walk, kernels = made.walk, made.kernels
    moves = [walk.kernel_moves(kernel) for kernel in kernels]
    live = [0] * len(made.chains)

    def keep(first: int, last: int, size: int) -> None:
        """While a chain works, all that any of its kernels reads or makes is there."""
        for number, (start, end) in enumerate(made.chains):
            if first < end and last >= start:
                live[number] += size

    for writer, kernel in enumerate(kernels):
        if not made.stays[writer]:
            continue
        kept_on = any(moves[n] != moves[writer] for n in readers[writer])
        last = len(kernels) - 1 if kept_on else max(readers[writer])
        keep(writer, last, walk.size_bytes(kernel, kernel.writes))
    columns = _of_columns(made)
    if columns:
        keep(columns[0], columns[-1], made.partial_bytes)
    return replace(made, live_bytes=tuple(live))


def _of_columns(made: Layout) -> list[int]:
    """The kernels beside which a partial context is kept."""
    names = made.walk.columns.names if made.walk.columns is not None else ()
    return [number for number, kernel in enumerate(made.kernels) if kernel.name in names]


def _partial_bytes(kernels: Sequence[Kernel], walk: Walk) -> int:
    """A partial context with the statistics of its rows, as partial sums."""
    columns = walk.columns
    if columns is None:
        return 0
    context = next(kernel for kernel in kernels if kernel.name == columns.context)
    chunk = walk.chunks[context.name]
    rows = math.prod(chunk[name] for name in ("batch", "g", "r", "m"))
    return rows * (chunk["n"] + ROW_STATISTICS) * PARTIAL_BYTES


def _is_inline(graph: KernelGraph, before: Kernel, kernel: Kernel) -> bool:
    """Whether a kernel goes element by element over what the one in front hands to it alone."""
    if kernel.contraction is not None or kernel.whole_rows or kernel.appends or before.appends:
        return False
    tensor = before.writes.tensor
    ports = [port for port in kernel.reads if port.tensor == tensor]
    return (
        len(ports) == 1
        and len(graph.readers(tensor)) == 1
        and tensor not in graph.outputs
        and ports[0].access.indices == kernel.writes.access.indices
    )


def _readers(kernels: Sequence[Kernel], tensor: str) -> list[int]:
    return [n for n, k in enumerate(kernels) if any(p.tensor == tensor for p in k.reads)]


def _from_outside(kernels: Sequence[Kernel], walk: Walk) -> tuple[dict[str, int], tuple[str, ...]]:
    """Bytes of tensors from outside; those that several kernels read, or that stay for several
    tiles.

    Work of the units reads each element once a chunk: staying the same pays for the array alone.
    """
    made = {kernel.writes.tensor for kernel in kernels if not kernel.appends}
    readers: dict[str, int] = {}
    sizes: dict[str, int] = {}
    pins: set[str] = set()
    for kernel in kernels:
        moves = walk.kernel_moves(kernel)
        for port in kernel.reads:
            tensor = port.tensor
            if tensor in made:
                continue
            readers[tensor] = readers.get(tensor, 0) + 1
            sizes[tensor] = max(sizes.get(tensor, 0), walk.tile_bytes(kernel, port))
            stays = walk.port_moves(kernel, port) != moves or walk.outlasts_turns(kernel, port)
            if kernel.contraction is not None and stays:
                pins.add(tensor)
    pins |= {tensor for tensor, count in readers.items() if count > 1}
    return sizes, tuple(sorted(pins, key=lambda tensor: (sizes[tensor], tensor)))
