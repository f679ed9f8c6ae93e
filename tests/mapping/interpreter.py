"""A brute-force interpreter of nests: walks every loop, moves every element, counts every byte.

It shares nothing with `cost.programs.traffic` but the nodes, the indices of the contraction and the
accelerator: the oracle of the property tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.mapping.contraction import Contraction, Operand
from inferstack.mapping.nest import Loop, Mapping, Spatial, Store

Chunk = dict[str, tuple[int, int]]
"""Start and size by dimension."""


@dataclass
class _Place:
    """One store (or the array): what it holds, and the visits of each output element."""

    operand: Operand
    outer: str
    level: str
    keeps: bool
    held: object = None
    tile: frozenset[tuple[int, ...]] = frozenset()
    visits: dict[tuple[int, ...], int] = field(default_factory=dict)
    moved: int = 0
    transfers: int = 0


def inside(operand: Operand, tile: frozenset[tuple[int, ...]]) -> int:
    """Elements of a tile that are no padding."""
    return sum(
        all(
            index.size is None or 0 <= value < index.size
            for index, value in zip(operand.indices, element, strict=True)
        )
        for element in tile
    )


def touched(operand: Operand, chunk: Chunk) -> frozenset[tuple[int, ...]]:
    """The elements of an operand that a chunk of the loops reads or writes, padding included."""
    axes = []
    for index in operand.indices:
        ranges = [range(chunk[name][0], sum(chunk[name])) for name, _ in index.terms]
        axes.append(
            {
                index.offset + sum(c * x for (_, c), x in zip(index.terms, point, strict=True))
                for point in itertools.product(*ranges)
            }
        )
    return frozenset(itertools.product(*axes))


class Interpreter:
    """Runs a mapping; `bytes` then holds (read, written) in bits by (level, slot)."""

    def __init__(
        self, mapping: Mapping, contraction: Contraction, accelerator: Accelerator
    ) -> None:
        self.contraction, self.accelerator = contraction, accelerator
        self.nodes = [node for node in mapping.nodes if not isinstance(node, Spatial)]
        self.places: dict[int, _Place] = {}
        self.array: list[_Place] = []
        self.steps = 0
        self.chunks: list[Chunk] = []
        outer = {operand.slot: accelerator.levels[0].name for operand in contraction.operands}
        for at, node in enumerate(self.nodes):
            if isinstance(node, Store):
                operand = contraction.operand(node.slot)
                self.places[at] = _Place(
                    operand, outer[node.slot], node.level, keeps=not node.refetched
                )
                outer[node.slot] = node.level
        for operand in contraction.operands:
            keeps = accelerator.array.dataflow.startswith(operand.role.value)
            self.array.append(_Place(operand, outer[operand.slot], "array", keeps=keeps))
        self._walk(0, {name: (0, extent) for name, extent in contraction.dims})
        for place in self.all_places():
            self._leave(place)

    def all_places(self) -> list[_Place]:
        """Stores, then the array's places."""
        return [*self.places.values(), *self.array]

    def _walk(self, at: int, chunk: Chunk) -> None:
        if at == len(self.nodes):
            self.steps += 1
            for place in self.array:
                self._visit(place, chunk)
            return
        node = self.nodes[at]
        if isinstance(node, Store):
            self._visit(self.places[at], chunk)
            self._walk(at + 1, chunk)
            return
        assert isinstance(node, Loop)
        for inner in _chunks(chunk, node):
            self._walk(at + 1, inner)

    def _visit(self, place: _Place, chunk: Chunk) -> None:
        wanted = tuple(chunk[name] for name in sorted(place.operand.dims))
        if place.keeps and place.held == wanted:
            return
        self._leave(place)
        place.held, place.tile = wanted, touched(place.operand, chunk)
        place.transfers += 1
        if place.operand.role is not Role.OUTPUT:
            place.moved += len(place.tile)

    def _leave(self, place: _Place) -> None:
        """An output tile goes out; its elements are counted one by one."""
        if place.operand.role is Role.OUTPUT:
            for element in place.tile:
                place.visits[element] = place.visits.get(element, 0) + 1
        place.tile, place.held = frozenset(), None

    def bits(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(bits read, bits written) by (level, slot), without a bias."""
        total: dict[tuple[str, str], list[int]] = {}

        def add(level: str, slot: str, read: int, written: int) -> None:
            if level != "array":
                entry = total.setdefault((level, slot), [0, 0])
                entry[0] += read
                entry[1] += written

        for place in self.all_places():
            slot, bits = place.operand.slot, place.operand.bits
            if place.operand.role is not Role.OUTPUT:
                add(place.outer, slot, place.moved * bits, 0)
                add(place.level, slot, 0, place.moved * bits)
                continue
            outer_bits = self.accelerator.level(place.outer).partial_sum_bits
            at_array = place.level == "array"
            inner_bits = 0 if at_array else self.accelerator.level(place.level).partial_sum_bits
            on_chip = place.outer != self.accelerator.levels[0].name
            final_bits = outer_bits if at_array and on_chip else bits
            for count in place.visits.values():
                for visit in range(1, count + 1):
                    add(place.level, slot, inner_bits, 0)
                    add(place.outer, slot, 0, final_bits if visit == count else outer_bits)
                    if visit > 1:
                        add(place.outer, slot, outer_bits, 0)
                        add(place.level, slot, 0, inner_bits)
        return {key: (read, written) for key, (read, written) in total.items() if read or written}


def _chunks(chunk: Chunk, loop: Loop) -> Iterator[Chunk]:
    start, size = chunk[loop.dim]
    for at in range(start, start + size, loop.step):
        yield {**chunk, loop.dim: (at, min(loop.step, start + size - at))}
