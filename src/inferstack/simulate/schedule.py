"""The order of tiles that a mapping asks for: its loops above the last store, walked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from inferstack.core.errors import MappingError
from inferstack.mapping.nest import Loop, Mapping, Store

CONTRACTION_DIMS = ("m", "n", "k")


@dataclass(frozen=True, slots=True)
class Tile:
    """Start and size along m, n and k."""

    m: int
    m_size: int
    n: int
    n_size: int
    k: int
    k_size: int


def outer_loops(mapping: Mapping) -> list[Loop]:
    """The loops above the last store, outermost first. Raises MappingError where there is none."""
    stores = [i for i, node in enumerate(mapping.nodes) if isinstance(node, Store)]
    if not stores:
        raise MappingError(
            f"mapping of {mapping.operator}",
            "no operand is stored on the chip",
            need="a Store per operand",
        )
    return [node for node in mapping.nodes[: stores[-1]] if isinstance(node, Loop)]


def tiles(mapping: Mapping, extents: dict[str, int]) -> Iterator[Tile]:
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
    inner = [loop for loop in loops if loop.dim in extents]
    yield from _walk(inner, {dim: (0, extent) for dim, extent in extents.items()})


def _walk(loops: list[Loop], chunk: dict[str, tuple[int, int]]) -> Iterator[Tile]:
    if not loops:
        yield Tile(*chunk["m"], *chunk["n"], *chunk["k"])
        return
    loop, inner = loops[0], loops[1:]
    start, size = chunk[loop.dim]
    for at in range(start, start + size, loop.step):
        step = min(loop.step, start + size - at)
        yield from _walk(inner, {**chunk, loop.dim: (at, step)})


def largest_tile(mapping: Mapping, extents: dict[str, int]) -> dict[str, int]:
    """The tile's extent along m, n and k."""
    sizes = dict(extents)
    for loop in outer_loops(mapping):
        if loop.dim in sizes:
            sizes[loop.dim] = min(sizes[loop.dim], loop.step)
    return sizes
