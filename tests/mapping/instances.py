"""A brute-force interpreter of nests on machines with fan-outs: walks every loop in every instance.

It shares nothing with `inferstack.cost.sequencer` but the nodes, the contraction's indices and the
accelerator: the oracle of its property tests. All instances walk in step; an operand's load runs
when a loop that moves it, or one outside of such a loop, has gone on since the last time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.mapping.contraction import Contraction, Operand
from inferstack.mapping.nest import Loop, Mapping, Spatial, Store

from .interpreter import Chunk, inside, touched

Instance = tuple[tuple[str, int], ...]
"""(axis and dimension, piece) of each fan-out around, outermost first."""
Element = tuple[int, ...]


@dataclass
class _Place:
    """An operand in a level (or the array)."""

    operand: Operand
    outer: _Place | None
    level: str
    fans: int = 0
    """How many spatial nodes of fan-outs stand around it."""
    last_move: int = 0
    refetched: bool = False
    passed: tuple[int, ...] | None = None
    transfers: int = 0
    touched: dict[Instance, set[Element]] = field(default_factory=dict)
    reads: dict[Instance, int] = field(default_factory=dict)
    writes: dict[Instance, int] = field(default_factory=dict)
    visits: list[tuple[Instance, Instance, frozenset[Element]]] = field(default_factory=list)
    """Of outputs: (instance outside, instance inside, tile), in order."""


class Instances:
    """Runs a mapping; `bits` and `busiest` then hold (read, written) by (level, slot)."""

    def __init__(
        self, mapping: Mapping, contraction: Contraction, accelerator: Accelerator
    ) -> None:
        self.contraction, self.accelerator = contraction, accelerator
        inner = {axis.name for fan_out in accelerator.fan_outs for axis in fan_out.axes}
        self.nodes = [
            node for node in mapping.nodes if not isinstance(node, Spatial) or node.axis in inner
        ]
        self.places: dict[int, _Place] = {}
        self.array: list[_Place] = []
        self.steps = 0
        self._arrange()
        start: Chunk = {name: (0, extent) for name, extent in contraction.dims}
        self._walk(0, {(): start}, ())

    def _arrange(self) -> None:
        """Places, and below which loop each is loaded."""
        names = [level.name for level in self.accelerator.levels]
        at_slot = {o.slot: _Place(o, None, o.origin or names[0]) for o in self.contraction.operands}
        self.roots = list(at_slot.values())
        loops: list[tuple[str, bool]] = []
        chunk, fans = self.contraction.extents, 0
        launches = self._launches()
        for at, node in enumerate(self.nodes):
            if isinstance(node, Loop):
                loops.append((node.dim, node.step < chunk[node.dim]))
                chunk[node.dim] = node.step
            elif isinstance(node, Spatial):
                fans += 1
                chunk[node.dim] = node.step
            else:
                operand = self.contraction.operand(node.slot)
                place = _Place(operand, at_slot[node.slot], node.level, fans)
                place.refetched = node.refetched
                outside = at_slot[node.slot].last_move
                inside = [loops for below, loops in launches if names.index(node.level) > below]
                launch = max(inside, default=0)
                place.last_move = max(outside, launch, self._last_move(operand, loops))
                if node.refetched:
                    place.last_move = len(loops)
                self.places[at] = at_slot[node.slot] = place
        for operand in self.contraction.operands:
            place = _Place(operand, at_slot[operand.slot], "array", fans)
            held = self.accelerator.array.dataflow.startswith(operand.role.value)
            outside = at_slot[operand.slot].last_move
            launch = max((loops for _, loops in launches), default=0)
            moved = max(outside, launch, self._last_move(operand, loops))
            place.last_move = moved if held else len(loops)
            self.array.append(place)

    def _launches(self) -> list[tuple[int, int]]:
        """By fan-out, the level it is below, and the loops outside of its instances: above their
        own spatial nodes, or, where there is one instance, above the last store outside of it."""
        names = [level.name for level in self.accelerator.levels]
        found = []
        for fan_out in self.accelerator.fan_outs:
            below, axes = names.index(fan_out.below), {axis.name for axis in fan_out.axes}
            first, last, loops = None, 0, 0
            for node in self.nodes:
                if isinstance(node, Loop):
                    loops += 1
                elif isinstance(node, Store):
                    last = loops if names.index(node.level) <= below else last
                elif first is None and node.axis in axes:
                    first = loops
            found.append((below, last if first is None else first))
        return found

    def _last_move(self, operand: Operand, loops: list[tuple[str, bool]]) -> int:
        moving = [i for i, (dim, turns) in enumerate(loops) if turns and dim in operand.dims]
        return moving[-1] + 1 if moving else 0

    def _walk(self, at: int, chunks: dict[Instance, Chunk], passed: tuple[int, ...]) -> None:
        if at == len(self.nodes):
            self.steps += 1
            for place in self.array:
                self._visit(place, chunks, passed)
            return
        node = self.nodes[at]
        if isinstance(node, Store):
            self._visit(self.places[at], chunks, passed)
            self._walk(at + 1, chunks, passed)
        elif isinstance(node, Spatial):
            spread: dict[Instance, Chunk] = {}
            for instance, chunk in chunks.items():
                start, size = chunk[node.dim]
                for piece in range(math.ceil(size / node.step)):
                    own = (start + piece * node.step, min(node.step, size - piece * node.step))
                    spread[(*instance, (node.dim, piece))] = {**chunk, node.dim: own}
            self._walk(at + 1, spread, passed)
        else:
            trips = max(math.ceil(chunk[node.dim][1] / node.step) for chunk in chunks.values())
            for trip in range(trips):
                left: dict[Instance, Chunk] = {}
                for instance, chunk in chunks.items():
                    start, size = chunk[node.dim]
                    if trip * node.step < size:
                        own = (start + trip * node.step, min(node.step, size - trip * node.step))
                        left[instance] = {**chunk, node.dim: own}
                self._walk(at + 1, left, (*passed, trip))

    def _visit(self, place: _Place, chunks: dict[Instance, Chunk], passed: tuple[int, ...]) -> None:
        moved = passed[: place.last_move]
        if place.passed == moved:
            return
        place.passed = moved
        place.transfers += 1
        outer = place.outer
        assert outer is not None, "only the outermost level has nothing outside"
        groups: dict[tuple[Instance, Instance], list[Instance]] = {}
        for instance in sorted(chunks):
            around, between = instance[: outer.fans], instance[outer.fans :]
            own = tuple(step for step in between if step[0] in place.operand.dims)
            groups.setdefault((around, own), []).append(instance)
        for (around, _), members in groups.items():
            tile = touched(place.operand, chunks[members[0]])
            if place.operand.role is Role.OUTPUT:
                self._output(place, around, members, tile)
                continue
            dram = outer.level == self.accelerator.levels[0].name
            sent = inside(place.operand, tile) if dram else len(tile)
            outer.reads[around] = outer.reads.get(around, 0) + sent
            for member in members:
                place.writes[member] = place.writes.get(member, 0) + len(tile)

    def _output(
        self, place: _Place, around: Instance, members: list[Instance], tile: frozenset[Element]
    ) -> None:
        """A visit begins: sums that stand outside are read; all will be written there."""
        outer = place.outer
        assert outer is not None, "only the outermost level has nothing outside"
        seen = outer.touched.setdefault(around, set())
        again = [element for element in tile & seen if self._stands(place, element)]
        outer.reads[around] = outer.reads.get(around, 0) + len(again)
        seen |= tile
        for member in members:
            place.touched[member] = set()
            place.visits.append((around, member, tile))

    def _stands(self, place: _Place, element: Element) -> bool:
        """Whether the level outside holds it: DRAM holds nothing that is outside of the tensor."""
        assert place.outer is not None, "only the outermost level has nothing outside"
        dram = place.outer.level == self.accelerator.levels[0].name
        return not dram or inside(place.operand, frozenset({element})) == 1

    def all_places(self) -> list[_Place]:
        """Stores, then the array's places."""
        return [*self.places.values(), *self.array]

    def bits(self) -> tuple[dict[tuple[str, str], tuple[int, int]], ...]:
        """(bits read, bits written) by (level, slot): in all, and the most of any instance."""
        tally: dict[tuple[str, str], dict[Instance, list[int]]] = {}

        def add(place: _Place, instance: Instance, read: int, written: int) -> None:
            if place.level != "array":
                here = tally.setdefault((place.level, place.operand.slot), {})
                entry = here.setdefault(instance, [0, 0])
                entry[0] += read
                entry[1] += written

        for place in [*self.roots, *self.all_places()]:
            bits = place.operand.bits
            if place.operand.role is Role.OUTPUT:
                bits = self._width(place)
            for instance, count in place.reads.items():
                add(place, instance, count * bits, 0)
            for instance, count in place.writes.items():
                add(place, instance, 0, count * bits)
        for place in self.all_places():
            if place.operand.role is Role.OUTPUT:
                self._leave(place, add)
        total = {
            key: (sum(e[0] for e in here.values()), sum(e[1] for e in here.values()))
            for key, here in tally.items()
        }
        most = {
            key: (max(e[0] for e in here.values()), max(e[1] for e in here.values()))
            for key, here in tally.items()
        }
        return total, most

    def _width(self, place: _Place) -> int:
        if place.level == "array":
            return 0
        return self.accelerator.level(place.level).partial_sum_bits

    def _leave(self, place: _Place, add: object) -> None:
        """Every visit ends: the tile is read inside and written outside, once per group."""
        assert callable(add)
        outer = place.outer
        assert outer is not None, "only the outermost level has nothing outside"
        result = place.operand.bits
        # How often each element is still to be seen, on both sides.
        writes: dict[tuple[Instance, Element], int] = {}
        drains: dict[tuple[Instance, Element], int] = {}
        for around, member, tile in place.visits:
            leader = self._leader(place, member)
            for element in tile:
                drains[member, element] = drains.get((member, element), 0) + 1
                if leader and self._stands(place, element):
                    writes[around, element] = writes.get((around, element), 0) + 1
        raw = place.level == "array" and outer.outer is not None
        last = result if self._alone(outer) and not raw else self._width(outer)
        for (around, _), count in writes.items():
            add(outer, around, 0, (count - 1) * self._width(outer) + last)
        if place.level == "array":
            return
        kept = self._last_in(place)
        for (member, _), count in drains.items():
            add(place, member, (count - 1) * self._width(place) + kept, 0)

    def _leader(self, place: _Place, member: Instance) -> bool:
        """Of instances that share an output, the first writes outside."""
        assert place.outer is not None, "only the outermost level has nothing outside"
        return all(
            piece == 0 or dim in place.operand.dims for dim, piece in member[place.outer.fans :]
        )

    def _last_in(self, place: _Place) -> int:
        """The width in which the last visit from inside was written here."""
        inner = next(p for p in self.all_places() if p.outer is place)
        finished = inner.level != "array" and self._alone(place)
        return place.operand.bits if finished else self._width(place)

    def _alone(self, place: _Place) -> bool:
        """Whether the level stands once: what instances hand on is one of several sums."""
        order = [level.name for level in self.accelerator.levels]
        return not any(
            order.index(place.level) > order.index(fan_out.below)
            for fan_out in self.accelerator.fan_outs
        )
