"""Whether a mapping is one: names, factors, array, and what each level has to hold.

`checked` refuses a mapping that makes no sense (MappingError); `occupancy` and `misfit` say what it
needs of each level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from inferstack.core.errors import MappingError, UnknownNameError
from inferstack.core.infeasible import Infeasible
from inferstack.core.units import ceil_div
from inferstack.hardware.accelerator import Accelerator, Level, Role
from inferstack.mapping.contraction import Contraction, Operand
from inferstack.mapping.nest import Loop, Mapping, Spatial, Store


@dataclass(frozen=True, slots=True)
class Place:
    """A store: it stands below the first `depth` loops, in `level`."""

    depth: int
    level: str
    refetched: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Nest:
    """A checked mapping. loops: (index of the dimension, step), outermost first.

    places: by slot, outermost first. spatial: extent side by side in the array, by dimension.
    fans: for each loop, None, or the index of the fan-out whose instances take its steps side by
    side.
    """

    loops: tuple[tuple[int, int], ...]
    places: dict[str, tuple[Place, ...]]
    spatial: dict[str, int]
    fans: tuple[int | None, ...]

    def largest_chunk(self, depth: int, contraction: Contraction) -> dict[str, int]:
        """The largest extent of each dimension below the first `depth` loops."""
        chunk = contraction.extents
        names = tuple(name for name, _ in contraction.dims)
        for dim, step in self.loops[:depth]:
            chunk[names[dim]] = min(chunk[names[dim]], step)
        return chunk


class _Checker:
    """Walks the nodes of a mapping from the outside in, and refuses the first that is wrong."""

    def __init__(self, mapping: Mapping, contraction: Contraction, accelerator: Accelerator):
        self.where = f"mapping of {mapping.operator}"
        self.contraction, self.accelerator = contraction, accelerator
        self.chunk = contraction.extents
        self.names = tuple(self.chunk)
        self.slots = [operand.slot for operand in contraction.operands]
        self.loops: list[tuple[int, int]] = []
        self.fans: list[int | None] = []
        self.places: dict[str, list[Place]] = {slot: [] for slot in self.slots}
        self.spatial: dict[str, int] = {}
        self.fan_of = {
            axis.name: number
            for number, fan_out in enumerate(accelerator.fan_outs)
            for axis in fan_out.axes
        }

    def store(self, node: Store) -> None:
        """A store: an operand that exists, a level that holds it, on the right side of fan-outs."""
        if node.slot not in self.places:
            raise UnknownNameError(self.where, "operand", node.slot, self.slots)
        outer = self.places[node.slot]
        _check_store(self.where, node, outer, self.contraction, self.accelerator)
        at = self.accelerator.index(node.level)
        for fan in {fan for fan in self.fans if fan is not None}:
            below = self.accelerator.fan_outs[fan].below
            if at <= self.accelerator.index(below):
                raise MappingError(
                    self.where,
                    f"a store in {node.level} stands inside of the instances below {below}",
                    got=f"a store of {node.slot}",
                    hint="move it above the spatial nodes of that fan-out",
                )
        outer.append(Place(len(self.loops), node.level, node.refetched))

    def split(self, node: Spatial) -> None:
        """A spatial node of a fan-out, or of the array."""
        fan = self.fan_of.get(node.axis)
        if node.extent < 1 or node.step < 1:
            got = min(node.extent, node.step)
            raise MappingError(self.where, "a spatial extent is not positive", got=got)
        if fan is None:
            self.spatial[node.dim] = self.spatial.get(node.dim, 1) * node.extent
            return
        self._outside_in(fan)
        left = self.chunk[node.dim]
        if node.extent * node.step < left or node.step > left:
            raise MappingError(
                self.where,
                f"the factors do not cover the dimension {node.dim}",
                got=f"{node.extent} pieces of {node.step} along {node.axis}",
                need=f"pieces that make up {left}",
            )
        self.chunk[node.dim] = node.step
        self.loops.append((self.names.index(node.dim), node.step))
        self.fans.append(fan)

    def _outside_in(self, fan: int) -> None:
        """No store of the instances, and no inner fan-out, may stand above."""
        below = self.accelerator.fan_outs[fan].below
        limit = self.accelerator.index(below)
        for slot, found in self.places.items():
            for place in found:
                if self.accelerator.index(place.level) > limit:
                    raise MappingError(
                        self.where,
                        f"the instances below {below} stand inside of a store of their own",
                        got=f"a store of {slot} in {place.level} above them",
                        hint="move the spatial nodes of that fan-out above the store",
                    )
        if any(other is not None and other > fan for other in self.fans):
            raise MappingError(
                self.where, f"the instances below {below} stand inside of inner ones"
            )

    def loop(self, node: Loop) -> None:
        """A loop: it divides what is left of its dimension."""
        if self.spatial:
            raise MappingError(
                self.where, "a loop is inside a spatial one", got=f"a loop over {node.dim}",
                need="the spatial nodes last",
            )  # fmt: skip
        if not 1 <= node.step <= self.chunk[node.dim]:
            raise MappingError(
                self.where,
                f"a loop over {node.dim} does not divide what is left of it into chunks",
                got=f"steps of {node.step}",
                need=f"1 to {self.chunk[node.dim]}",
            )
        self.chunk[node.dim] = node.step
        self.loops.append((self.names.index(node.dim), node.step))
        self.fans.append(None)

    def covered(self) -> None:
        """Every dimension is walked to its end."""
        for name, left in self.chunk.items():
            if left > self.spatial.get(name, 1):
                raise MappingError(
                    self.where,
                    f"the factors do not cover the dimension {name}",
                    got=f"{left} elements at the innermost node",
                    need=f"{self.spatial.get(name, 1)}",
                    hint=f"add a loop over {name} with a step of {self.spatial.get(name, 1)}",
                )


def checked(mapping: Mapping, contraction: Contraction, accelerator: Accelerator) -> Nest:
    """The nest of a mapping. Raises MappingError (or UnknownNameError) that says what is wrong."""
    checker = _Checker(mapping, contraction, accelerator)
    for node in mapping.nodes:
        if isinstance(node, Store):
            checker.store(node)
            continue
        if node.dim not in checker.chunk:
            raise UnknownNameError(checker.where, "dimension", node.dim, checker.names)
        if isinstance(node, Spatial):
            checker.split(node)
        else:
            checker.loop(node)
    _check_axes(checker.where, mapping, accelerator)
    checker.covered()
    return Nest(
        loops=tuple(checker.loops),
        places={slot: tuple(found) for slot, found in checker.places.items()},
        spatial=checker.spatial,
        fans=tuple(checker.fans),
    )


def _check_store(
    where: str,
    store: Store,
    outer: list[Place],
    contraction: Contraction,
    accelerator: Accelerator,
) -> None:
    level = accelerator.level(store.level)
    order = [level.name for level in accelerator.levels]
    role = contraction.operand(store.slot).role
    if role not in level.holds:
        raise MappingError(
            where,
            f"the level {level.name} does not hold the {role}",
            got=f"a store of {store.slot}",
            need="one of " + ", ".join(v.name for v in accelerator.levels if role in v.holds),
        )
    home = contraction.operand(store.slot).home(accelerator)
    if order.index(level.name) == 0:
        raise MappingError(
            where,
            f"{level.name} holds every operand from the start",
            got=f"a store of {store.slot}",
        )
    if order.index(level.name) <= home:
        raise MappingError(
            where,
            f"the operand {store.slot} comes from {order[home]}",
            got=f"a store in {level.name}",
            need="a level further in",
        )
    if outer and order.index(level.name) <= order.index(outer[-1].level):
        raise MappingError(
            where,
            f"the stores of {store.slot} do not go inwards",
            got=f"{level.name} inside {outer[-1].level}",
        )


def _check_axes(where: str, mapping: Mapping, accelerator: Accelerator) -> None:
    """Which dimension runs along which axis, and how far."""
    array = accelerator.array
    axes = {
        "row": ("row axis of the array", array.rows, array.row_dims),
        "column": ("column axis of the array", array.columns, array.column_dims),
    }
    for fan_out in accelerator.fan_outs:
        for axis in fan_out.axes:
            words = f"{axis.name} axis below {fan_out.below}"
            axes[axis.name] = (words, axis.size, axis.dims)
    used = dict.fromkeys(axes, 1)
    for node in mapping.nodes:
        if not isinstance(node, Spatial):
            continue
        if node.axis not in axes:
            raise UnknownNameError(where, "axis name", node.axis, axes)
        words, limit, dims = axes[node.axis]
        if node.dim not in dims:
            raise MappingError(
                where,
                f"the dimension {node.dim} cannot run along the {words}",
                need="one of " + ", ".join(dims),
            )
        if node.axis in ("row", "column") and node.step != 1:
            raise MappingError(
                where, f"along the {words} every element has its own place", got=node.step, need=1
            )
        used[node.axis] *= node.extent
        if used[node.axis] > limit:
            over = "array" if node.axis in ("row", "column") else "number of instances"
            raise MappingError(
                where,
                f"the spatial extent along the {node.axis} axis is over the {over}",
                got=used[node.axis],
                need=f"at most {limit}",
            )


def tile_bytes(
    operand: Operand, chunk: dict[str, int], level: Level, blocks: dict[str, int]
) -> int:
    """Bytes of a tile in a level, with its edges padded to whole blocks of the array.

    blocks: extent side by side by dimension. Partial sums take the level's width.
    """
    padded = {
        name: ceil_div(size, blocks.get(name, 1)) * blocks.get(name, 1)
        for name, size in chunk.items()
    }
    bits = level.partial_sum_bits if operand.role is Role.OUTPUT else operand.bits
    return ceil_div(operand.elements(padded) * bits, 8)


def resident_bytes(operand: Operand, contraction: Contraction) -> int:
    """Bytes of an operand that a neighbour left on the chip, or finds there: all of it."""
    return ceil_div(operand.stored(contraction.extents) * operand.bits, 8)


def usable_bytes(level: Level, contraction: Contraction) -> int | None:
    """What is left of a level for tiles, beside operands that start or end there; None: no bound.

    It may be negative.
    """
    if level.usable_bytes is None:
        return None
    residents = (o for o in contraction.operands if o.origin == level.name)
    return level.usable_bytes - sum(resident_bytes(o, contraction) for o in residents)


def occupancy(
    nest: Nest, contraction: Contraction, accelerator: Accelerator
) -> dict[tuple[str, str], int]:
    """Bytes of one tile generation, by (level, slot), and of operands that start or end there."""
    found = {
        (operand.origin, operand.slot): resident_bytes(operand, contraction)
        for operand in contraction.operands
        if operand.origin is not None
    }
    for operand in contraction.operands:
        for place in nest.places[operand.slot]:
            chunk = nest.largest_chunk(place.depth, contraction)
            level = accelerator.level(place.level)
            found[place.level, operand.slot] = tile_bytes(operand, chunk, level, nest.spatial)
    return found


def misfit(nest: Nest, contraction: Contraction, accelerator: Accelerator) -> Infeasible | None:
    """The level that is most overfull, with its largest tensor; None where everything fits."""
    needed = occupancy(nest, contraction, accelerator)
    worst: tuple[float, Infeasible] | None = None
    for level in accelerator.levels:
        limit = level.usable_bytes
        here = {slot: size for (name, slot), size in needed.items() if name == level.name}
        demand = sum(here.values())
        if limit is None or demand <= limit:
            continue
        slot = max(here, key=lambda slot: (here[slot], slot))
        half = " (half of it, as it is double buffered)" if level.double_buffered else ""
        found = Infeasible(
            resource=f"{level.name} of {accelerator.name}{half}, tensor {slot} of "
            f"{contraction.name}",
            demand=demand,
            limit=limit,
            unit="bytes",
            levers=(f"a smaller tile of {slot}", f"a larger {level.name}"),
        )
        if worst is None or demand / limit > worst[0]:
            worst = (demand / limit, found)
    return worst[1] if worst else None


def need_whole_rows(mapping: Mapping, nest: Nest, contraction: Contraction, fused: str) -> None:
    """Raises MappingError where the output tile that `fused` works on has no whole rows of n."""
    places = nest.places[contraction.by_role(Role.OUTPUT).slot]
    depth = places[-1].depth if places else len(nest.loops)
    columns, whole = nest.largest_chunk(depth, contraction)["n"], contraction.extents["n"]
    if columns < whole:
        raise MappingError(
            f"mapping of {mapping.operator}",
            f"{fused} needs whole rows of the output in one tile",
            got=f"{columns} columns",
            need=whole,
            hint="no loop over n outside the output's store; or leave it unfused",
        )


def steps(nest: Nest, contraction: Contraction) -> int:
    """How often the innermost node runs, in the instance that has most to do: the first."""
    counts = dict.fromkeys(contraction.extents, 1)
    names = tuple(contraction.extents)
    sizes: dict[str, dict[int, int]] = {name: {e: 1} for name, e in contraction.dims}
    for (dim, step), fan in zip(nest.loops, nest.fans, strict=True):
        name, made = names[dim], dict[int, int]()
        for size, times in sizes[names[dim]].items():
            full, rest = divmod(size, step) if fan is None else (size >= step, size % step)
            if fan is not None and full:
                rest = 0
            if full:
                made[step] = made.get(step, 0) + full * times
            if rest:
                made[rest] = made.get(rest, 0) + times
        sizes[name] = made
    for name in counts:
        counts[name] = sum(sizes[name].values())
    return math.prod(counts.values())


__all__ = ["Loop", "Nest", "Place", "checked", "misfit", "occupancy", "steps", "tile_bytes"]
