"""The order of tiles that a mapping asks for: its loops above the last store, walked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from inferstack.core.errors import MappingError
from inferstack.mapping.nest import Loop, Node, Store
from inferstack.mapping.nest import Mapping as Schedule

CONTRACTION_DIMS = ("m", "n", "k")


Chunk = dict[str, tuple[int, int]]
"""Start and size along each dimension."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Start and size along m, n and k.

    held: by operand, the chunk that its store holds meanwhile; at least the tile.
    """

    m: int
    m_size: int
    n: int
    n_size: int
    k: int
    k_size: int
    held: Mapping[str, Chunk]

    def chunk_of(self, slot: str) -> Chunk:
        """What is held of an operand; the tile, where the mapping has no store for it."""
        tile = {
            "m": (self.m, self.m_size),
            "n": (self.n, self.n_size),
            "k": (self.k, self.k_size),
        }
        return self.held.get(slot, tile)


def outer_loops(mapping: Schedule) -> list[Loop]:
    """The loops above the last store, outermost first. Raises MappingError where there is none."""
    stores = [i for i, node in enumerate(mapping.nodes) if isinstance(node, Store)]
    if not stores:
        raise MappingError(
            f"mapping of {mapping.operator}",
            "no operand is stored on the chip",
            need="a Store per operand",
        )
    return [node for node in mapping.nodes[: stores[-1]] if isinstance(node, Loop)]


def tiles(mapping: Schedule, extents: dict[str, int]) -> Iterator[Tile]:
    """The tiles of one batch entry in the mapping's order.

    extents: of m, n and k. Loops over other dimensions walk batch and heads, which the lowering
    puts outermost. Raises MappingError where such a loop is inside one of m, n or k.
    """
    loops = outer_loops(mapping)
    seen = False
    for loop in loops:
        seen |= loop.dim in extents
        if seen and loop.dim not in extents:
            raise MappingError(
                f"mapping of {mapping.operator}",
                "a loop over batch or heads is inside a loop of the matmul",
                got=loop.dim,
                need="batch and heads outermost",
            )
    last = max(i for i, node in enumerate(mapping.nodes) if isinstance(node, Store))
    nodes = [
        node
        for node in mapping.nodes[: last + 1]
        if isinstance(node, Store) or (isinstance(node, Loop) and node.dim in extents)
    ]
    yield from _walk(nodes, {dim: (0, extent) for dim, extent in extents.items()}, {})


def _walk(nodes: Sequence[Node], chunk: Chunk, held: Mapping[str, Chunk]) -> Iterator[Tile]:
    if not nodes:
        yield Tile(*chunk["m"], *chunk["n"], *chunk["k"], held)
        return
    node, inner = nodes[0], nodes[1:]
    if isinstance(node, Store):
        yield from _walk(inner, chunk, {**held, node.slot: chunk})
        return
    assert isinstance(node, Loop)
    start, size = chunk[node.dim]
    for at in range(start, start + size, node.step):
        step = min(node.step, start + size - at)
        yield from _walk(inner, {**chunk, node.dim: (at, step)}, held)


def largest_tile(mapping: Schedule, extents: dict[str, int]) -> dict[str, int]:
    """The tile's extent along m, n and k."""
    sizes = dict(extents)
    for loop in outer_loops(mapping):
        if loop.dim in sizes:
            sizes[loop.dim] = min(sizes[loop.dim], loop.step)
    return sizes


def largest_held(mapping: Schedule, extents: dict[str, int]) -> dict[str, dict[str, int]]:
    """By operand, the extents along m, n and k of what its store holds at most."""
    sizes, found = dict(extents), dict[str, dict[str, int]]()
    for node in mapping.nodes:
        if isinstance(node, Store):
            found[node.slot] = dict(sizes)
        elif isinstance(node, Loop) and node.dim in sizes:
            sizes[node.dim] = min(sizes[node.dim], node.step)
    return found


def refetched(mapping: Schedule) -> frozenset[str]:
    """The operands that are loaded at every step, even where the same tile is there."""
    return frozenset(n.slot for n in mapping.nodes if isinstance(n, Store) and n.refetched)
