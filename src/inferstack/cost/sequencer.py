"""Exact traffic of a nest on a machine without a program: a fixed sequencer walks the loops.

A store stands below the innermost loop that moves its operand (one over a dimension of the operand,
of more than one step); its load runs at every pass of the loops above that place, remainders
included, and at no other time. The operand that the array's dataflow keeps is loaded into the array
by the same rule; the other operands stream: they cross at every innermost step. An input's halo
(convolution) is fetched again with each tile that contains it.

The instances of a fan-out walk their loops side by side, launched anew by every pass of the loops
outside of them: what they hold does not outlast it. What does not vary along an axis is read once
outside and multicast, and the partial sums of instances that share an output are added on the way:
the outer level sees one. Zeros of a convolution's padding are made on the chip: they are
written with the elements that DRAM sends, and not read there. Rows that no expert has leave the
chip no more than they come.

A visit of an output tile starts from zero, or from the sum of an earlier visit, and ends with a
write to the level outside. The earlier sum enters the adder with the first products: it is read
where it stands, and written nowhere on the way in. So a level whose own tile is visited V times,
each time by the place inside W times in all, is written W times, and read W - V times for sums that
go on and V times as the tile leaves. All at the level's width of a partial sum, but for the last
write of a memory to the level outside, and what is read of that: those have the width of the
result.

Every count is a product over dimensions: a dimension of the operand gives the sum of its tile
sizes, any other one its number of passes. The first instance has the most to do; its counts set the
cycles of the ports.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inferstack.core.units import ceil_div
from inferstack.cost.access import ARRAY, Access, Crossing, stationary
from inferstack.cost.figures import Cost, moved_energy_pj, occupied_bytes, port_cycles
from inferstack.cost.padding import padding_elements
from inferstack.hardware.accelerator import Accelerator, Level, Role
from inferstack.mapping.contraction import Contraction, Operand
from inferstack.mapping.legality import Nest, steps

Sizes = dict[int, int]
"""How many chunks there are of each size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Elements that cross, seen from both sides.

    outer: read outside (multicast once), or written there. inner: over all instances inside.
    outer_once, inner_once: the distinct ones among them at each side; of an output, the last
    visits.
    """

    outer: int
    inner: int
    outer_once: int
    inner_once: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What moves between two neighbouring places of one operand.

    transfers: passes of the load. total: over all instances. busiest: in the first instance of
    each side. final: whether an output's last visit leaves its result, not one instance's sum.
    """

    slot: str
    role: Role
    outer: str
    inner: str
    transfers: int
    total: Count
    busiest: Count
    final: bool


def flows(nest: Nest, contraction: Contraction, accelerator: Accelerator) -> tuple[Flow, ...]:
    """All flows of all operands, outermost first for each operand."""
    found: list[Flow] = []
    for operand in contraction.operands:
        outer, kept = accelerator.levels[operand.home(accelerator)].name, 0
        for place in nest.places[operand.slot]:
            walk = _Walk(nest, contraction, accelerator, operand, outer, place.level)
            # Where the tile outside is loaded again, so is the one inside.
            launch = _launch(nest, accelerator, accelerator.index(place.level))
            kept = place.depth if place.refetched else max(kept, launch, walk.kept(place.depth))
            found.append(walk.flow(place.depth, kept))
            outer = place.level
        walk = _Walk(nest, contraction, accelerator, operand, outer, ARRAY)
        depth = len(nest.loops)
        held = stationary(accelerator) is operand.role
        launch = _launch(nest, accelerator, len(accelerator.levels))
        kept = max(kept, launch, walk.kept(depth)) if held else depth
        found.append(walk.flow(depth, kept))
    return tuple(found)


def _launch(nest: Nest, accelerator: Accelerator, level: int) -> int:
    """The loops outside of the instances that a level is inside of; 0 where it is in none.

    Instances begin at their spatial nodes; a single one, which has none, right below the last store
    outside of it.
    """
    found = 0
    for number, fan_out in enumerate(accelerator.fan_outs):
        below = accelerator.index(fan_out.below)
        if level <= below:
            continue
        outside = [
            place.depth
            for places in nest.places.values()
            for place in places
            if accelerator.index(place.level) <= below
        ]
        spatial = [at for at, fan in enumerate(nest.fans) if fan == number]
        found = max(found, min(spatial, default=max(outside, default=0)))
    return found


def hands_on_results(level: str, accelerator: Accelerator) -> bool:
    """Whether what is finished in a level is a result: inside of instances, it is one of several
    sums."""
    at = accelerator.index(level)
    return all(at <= accelerator.index(fan_out.below) for fan_out in accelerator.fan_outs)


class _Walk:
    """Counts one operand's tiles between two places."""

    def __init__(
        self,
        nest: Nest,
        contraction: Contraction,
        accelerator: Accelerator,
        operand: Operand,
        outer: str,
        inner: str,
    ) -> None:
        self.nest, self.contraction, self.operand = nest, contraction, operand
        self.outer, self.inner = outer, inner
        self.names = tuple(name for name, _ in contraction.dims)
        at = accelerator.index(outer)
        self.from_dram = at == 0
        # A fan-out stands outside of a level when that level is inside of it.
        self.final = hands_on_results(outer, accelerator)
        self.outside = tuple(at > accelerator.index(f.below) for f in accelerator.fan_outs)

    def kept(self, depth: int) -> int:
        """The depth below the innermost loop, among the first `depth`, that moves the operand."""
        chunk, found = self.contraction.extents, 0
        for at, ((dim, step), fan) in enumerate(
            zip(self.nest.loops[:depth], self.nest.fans, strict=False)
        ):
            name = self.names[dim]
            if fan is None and name in self.operand.dims and step < chunk[name]:
                found = at + 1
            chunk[name] = min(chunk[name], step)
        return found

    def sizes(self, name: str, depth: int, kept: int, every: Callable[[int], bool]) -> Sizes:
        """Chunks of a dimension below `depth` loops; of loops below `kept`, the first step's.

        every: for a fan-out, whether all instances count, or the first alone.
        """
        found: Sizes = {self.contraction.extents[name]: 1}
        loops = zip(self.nest.loops[:depth], self.nest.fans, strict=False)
        for at, ((dim, step), fan) in enumerate(loops):
            if self.names[dim] != name:
                continue
            every_step = at < kept if fan is None else every(fan)
            made: Sizes = {}
            for size, count in found.items():
                full, rest = divmod(size, step)
                if not every_step:
                    full, rest = (1, 0) if full else (0, rest)
                if full:
                    made[step] = made.get(step, 0) + full * count
                if rest:
                    made[rest] = made.get(rest, 0) + count
            found = made
        return found

    def flow(self, depth: int, kept: int) -> Flow:
        """The flow whose inner place stands below `depth` loops, its load below `kept`."""
        transfers = 1
        for name in self.names:
            found = self.sizes(name, depth, kept, lambda _: False)
            transfers *= sum(found.values())
        return Flow(
            slot=self.operand.slot,
            role=self.operand.role,
            outer=self.outer,
            inner=self.inner,
            transfers=transfers,
            total=self._count(depth, kept, outside=True, inside=True),
            busiest=self._count(depth, kept, outside=False, inside=False),
            final=self.final,
        )

    def _count(self, depth: int, kept: int, *, outside: bool, inside: bool) -> Count:
        """outside, inside: whether all instances of each side count, or the first alone."""

        def around(fan: int) -> bool:
            return self.outside[fan] and outside

        def near(fan: int) -> bool:
            return around(fan) or not self.outside[fan]

        def all_in(_: int) -> bool:
            return inside

        outer = self._moved(depth, near, stored=self.from_dram) * self._passes(depth, kept, around)
        inner = self._moved(depth, all_in) * self._passes(depth, kept, all_in)
        return Count(
            outer=outer,
            inner=inner,
            outer_once=self._moved(depth, near, stored=self.from_dram)
            * self._passes(depth, 0, around),
            inner_once=self._moved(depth, all_in) * self._passes(depth, 0, all_in),
        )

    def _passes(self, depth: int, kept: int, every: Callable[[int], bool]) -> int:
        """Passes over the dimensions that do not move the operand."""
        return math.prod(
            sum(self.sizes(name, depth, kept, every).values())
            for name in self.names
            if name not in self.operand.dims
        )

    def _moved(self, depth: int, every: Callable[[int], bool], *, stored: bool = False) -> int:
        """Elements of all tiles, over the dimensions that move the operand.

        stored: those of the tensor alone, without padding; all instances count.
        """
        total = 1
        for index in self.operand.indices:
            names = [name for name, _ in index.terms]
            one = Operand(slot=self.operand.slot, role=self.operand.role, indices=(index,), bits=8)
            found = [self.sizes(name, depth, depth, every).items() for name in names]
            own = sum(
                one.elements({n: size for n, (size, _) in zip(names, chunk, strict=True)})
                * math.prod(count for _, count in chunk)
                for chunk in itertools.product(*found)
            )
            if stored:
                loops = [(self.names[dim], step) for dim, step in self.nest.loops[:depth]]
                own -= padding_elements(index, self.contraction.extents, loops)
            total *= own
        return total


def flow_accesses(
    found: tuple[Flow, ...], contraction: Contraction, accelerator: Accelerator
) -> tuple[dict[tuple[str, str], Access], dict[tuple[str, str], Access]]:
    """Bytes by (level, slot): over all instances, and of the busiest instance.

    A bias is read once from the outermost level and enters with the first products.
    """
    total, busiest = Tally(contraction, accelerator), Tally(contraction, accelerator)
    total.add([(flow, flow.total) for flow in found])
    busiest.add([(flow, flow.busiest) for flow in found])
    return _in_bytes(total), _in_bytes(busiest)


def _in_bytes(tally: Tally) -> dict[tuple[str, str], Access]:
    """In whole bytes, rounded up."""
    return {
        key: Access(
            read_bytes=ceil_div(tally.reads.get(key, 0), 8),
            written_bytes=ceil_div(tally.writes.get(key, 0), 8),
        )
        for key in sorted({*tally.reads, *tally.writes})
    }


class Tally:
    """Bits read and written by (level, slot); counts may be unknowns (`nests.forms`)."""

    def __init__(self, contraction: Contraction, accelerator: Accelerator) -> None:
        self.contraction, self.accelerator = contraction, accelerator
        self.reads: dict[tuple[str, str], Any] = {}
        self.writes: dict[tuple[str, str], Any] = {}

    def add(self, counted: Sequence[tuple[Flow, Count]]) -> None:
        """All flows, outermost first for each operand."""
        for flow, count in counted:
            if flow.role is not Role.OUTPUT:
                self.add_factor(flow, count)
        self.add_output([pair for pair in counted if pair[0].role is Role.OUTPUT])

    def add_factor(self, flow: Flow, count: Count) -> None:
        """An input or a weight moves inwards."""
        bits = self.contraction.operand(flow.slot).bits
        self._tally(self.reads, flow.outer, flow.slot, count.outer * bits)
        self._tally(self.writes, flow.inner, flow.slot, count.inner * bits)

    def add_output(self, counted: Sequence[tuple[Flow, Count]]) -> None:
        """Sums go outwards, level by level."""
        dram = self.accelerator.levels[0].name
        output = self.contraction.by_role(Role.OUTPUT)
        home = self.accelerator.levels[output.home(self.accelerator)].name
        once = output.results(self.contraction.extents)
        visits, left = once, 0
        for flow, count in counted:
            level, slot = flow.outer, flow.slot
            width = self.accelerator.level(level).partial_sum_bits
            # The array hands on raw sums; a memory hands on the result the last time.
            raw = flow.inner == ARRAY and level != home
            last = output.bits if flow.final and not raw else width
            written = (count.outer - count.outer_once) * width + count.outer_once * last
            self._tally(self.writes, level, slot, written)
            self._tally(self.reads, level, slot, (count.outer - visits) * width)
            if level != home:
                self._tally(self.reads, level, slot, (visits - left) * width + left * last)
            visits, left = count.inner, count.inner_once
        if self.contraction.bias_bits is not None:
            row = self.contraction.bias_elements * self.contraction.bias_bits
            self._tally(self.reads, dram, "bias", row)

    def _tally(self, where: dict[tuple[str, str], Any], level: str, slot: str, bits: Any) -> None:
        if level != ARRAY:
            where[level, slot] = where.get((level, slot), 0) + bits


def limiting_levels(accelerator: Accelerator) -> tuple[Level, ...]:
    """The levels whose ports can bound the latency.

    Where a DMA engine feeds the chip, ports are those towards the level outside, and the outermost
    alone counts; elsewhere whatever reads or writes a level goes through its ports.
    """
    return accelerator.levels[:1] if accelerator.has_dma else accelerator.levels


def loads_take_time(accelerator: Accelerator) -> bool:
    """Whether the loads of the array's stationary tiles take `pass_cycles` each; an engine brings
    the next one meanwhile."""
    return not accelerator.has_dma


def sequencer_cost(nest: Nest, contraction: Contraction, accelerator: Accelerator) -> Cost:
    """The cost of any nest that fits, on any hierarchy: what the search over nests minimizes.

    Latency is that of the busiest part, plus the array's fill: the steps of the array, the loads of
    its stationary tiles, every port of `limiting_levels`. Loads and work overlap perfectly, so it
    is a lower bound of a schedule with bursts. Energy is that of all instances.
    """
    found = flows(nest, contraction, accelerator)
    moved, busiest = flow_accesses(found, contraction, accelerator)
    busy = {"array": steps(nest, contraction)}
    held = stationary(accelerator)
    loads = sum(f.transfers for f in found if f.role is held and f.inner == ARRAY)
    if loads and loads_take_time(accelerator):
        busy["array loads"] = loads * accelerator.array.pass_cycles
    for level in limiting_levels(accelerator):
        here = [access for (name, _), access in busiest.items() if name == level.name]
        busy |= port_cycles(
            level, sum(a.read_bytes for a in here), sum(a.written_bytes for a in here)
        )
    fill = accelerator.array.fill_cycles
    return Cost(
        cycles=max(busy.values()) + fill,
        energy_pj=moved_energy_pj(moved, contraction, accelerator),
        macs=contraction.macs,
        accesses=moved,
        crossings=tuple(
            Crossing(
                slot=f.slot,
                role=f.role,
                outer=f.outer,
                inner=f.inner,
                transfers=f.transfers,
                elements=f.total.outer,
            )
            for f in found
        ),
        occupancy_bytes=occupied_bytes(nest, contraction, accelerator),
        busy_cycles=busy,
        compulsory_dram_bytes=contraction.compulsory_bytes,
        dram=accelerator.levels[0].name,
        fill_cycles=fill,
    )
