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

    places: by slot, outermost first. spatial: extent side by side, by dimension.
    """

    loops: tuple[tuple[int, int], ...]
    places: dict[str, tuple[Place, ...]]
    spatial: dict[str, int]

    def largest_chunk(self, depth: int, contraction: Contraction) -> dict[str, int]:
        """The largest extent of each dimension below the first `depth` loops."""
        chunk = contraction.extents
        names = tuple(name for name, _ in contraction.dims)
        for dim, step in self.loops[:depth]:
            chunk[names[dim]] = min(chunk[names[dim]], step)
        return chunk


def checked(mapping: Mapping, contraction: Contraction, accelerator: Accelerator) -> Nest:
    """The nest of a mapping. Raises MappingError (or UnknownNameError) that says what is wrong."""
    where = f"mapping of {mapping.operator}"
    chunk = contraction.extents
    names = tuple(chunk)
    slots = [operand.slot for operand in contraction.operands]
    loops: list[tuple[int, int]] = []
    places: dict[str, list[Place]] = {slot: [] for slot in slots}
    spatial: dict[str, int] = {}
    for node in mapping.nodes:
        if isinstance(node, Store):
            if node.slot not in places:
                raise UnknownNameError(where, "operand", node.slot, slots)
            _check_store(where, node, places[node.slot], contraction, accelerator)
            places[node.slot].append(Place(len(loops), node.level, node.refetched))
            continue
        if node.dim not in chunk:
            raise UnknownNameError(where, "dimension", node.dim, names)
        if isinstance(node, Spatial):
            spatial[node.dim] = spatial.get(node.dim, 1) * node.extent
            continue
        if spatial:
            raise MappingError(
                where, "a loop is inside a spatial one", got=f"a loop over {node.dim}",
                need="the spatial nodes last",
            )  # fmt: skip
        if not 1 <= node.step <= chunk[node.dim]:
            raise MappingError(
                where,
                f"a loop over {node.dim} does not divide what is left of it into chunks",
                got=f"steps of {node.step}",
                need=f"1 to {chunk[node.dim]}",
            )
        chunk[node.dim] = node.step
        loops.append((names.index(node.dim), node.step))
    _check_array(where, mapping, accelerator)
    for name, left in chunk.items():
        if left > spatial.get(name, 1):
            raise MappingError(
                where,
                f"the factors do not cover the dimension {name}",
                got=f"{left} elements at the innermost node",
                need=f"{spatial.get(name, 1)}",
                hint=f"add a loop over {name} with a step of {spatial.get(name, 1)}",
            )
    return Nest(
        loops=tuple(loops),
        places={slot: tuple(found) for slot, found in places.items()},
        spatial=spatial,
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
    if order.index(level.name) == 0:
        raise MappingError(
            where,
            f"{level.name} holds every operand from the start",
            got=f"a store of {store.slot}",
        )
    if outer and order.index(level.name) <= order.index(outer[-1].level):
        raise MappingError(
            where,
            f"the stores of {store.slot} do not go inwards",
            got=f"{level.name} inside {outer[-1].level}",
        )


def _check_array(where: str, mapping: Mapping, accelerator: Accelerator) -> None:
    array = accelerator.array
    axes = {"row": (array.rows, array.row_dims), "column": (array.columns, array.column_dims)}
    used = dict.fromkeys(axes, 1)
    for node in mapping.nodes:
        if not isinstance(node, Spatial):
            continue
        if node.axis not in axes:
            raise UnknownNameError(where, "axis", node.axis, axes)
        limit, dims = axes[node.axis]
        if node.dim not in dims:
            raise MappingError(
                where,
                f"the dimension {node.dim} cannot run along the {node.axis} axis of the array",
                need="one of " + ", ".join(dims),
            )
        if node.extent < 1:
            raise MappingError(where, "a spatial extent is not positive", got=node.extent)
        used[node.axis] *= node.extent
        if used[node.axis] > limit:
            raise MappingError(
                where,
                f"the spatial extent along the {node.axis} axis is over the array",
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


def occupancy(
    nest: Nest, contraction: Contraction, accelerator: Accelerator
) -> dict[tuple[str, str], int]:
    """Bytes of one tile generation, by (level, slot)."""
    found: dict[tuple[str, str], int] = {}
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
    """How often the innermost node runs."""
    counts = dict.fromkeys(contraction.extents, 1)
    names = tuple(contraction.extents)
    sizes: dict[str, dict[int, int]] = {name: {e: 1} for name, e in contraction.dims}
    for dim, step in nest.loops:
        name, made = names[dim], dict[int, int]()
        for size, times in sizes[names[dim]].items():
            full, rest = divmod(size, step)
            if full:
                made[step] = made.get(step, 0) + full * times
            if rest:
                made[rest] = made.get(rest, 0) + times
        sizes[name] = made
    for name in counts:
        counts[name] = sum(sizes[name].values())
    return math.prod(counts.values())


__all__ = ["Loop", "Nest", "Place", "checked", "misfit", "occupancy", "steps", "tile_bytes"]
