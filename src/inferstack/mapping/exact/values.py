"""What each chain is worth: trips, elements, tiles and sides, for all candidates at once.

Steps are nested, so below any stage the chunks of a dimension are some of one size and at most one
that is smaller: `Chunks`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inferstack.mapping.exact.candidates import ARRAY_AXES, Candidates, Frame, Route
from inferstack.mapping.exact.forms import Term

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Chunks:
    """`count` chunks of `size`, and one of `rest` where that is positive."""

    size: Integers
    count: Integers
    rest: Integers

    @property
    def number(self) -> Integers:
        """How many there are."""
        return self.count + (self.rest > 0)

    @property
    def total(self) -> Integers:
        """Elements in all."""
        return self.size * self.count + self.rest


def chunks(
    extent: int, steps: Integers, route: Route, depth: int, every: Callable[[int | None], bool]
) -> Chunks:
    """The chunks below the first `depth` stages.

    every: for a fan-out (None: loops), whether all steps count, or the first alone.
    """
    from inferstack.mapping.exact.kernel import chunks as cut

    counted = [every(None if axis is None else axis[0]) for axis in route.axes]
    return Chunks(*cut(extent, steps, depth, np.array(counted)))


def _distinct(slope: tuple[int, int], first: Integers, second: Integers) -> Integers:
    """Distinct values of a * x + b * y over a box; slope: a and b in lowest terms.

    Two points have one value where they differ by (b, -a): of each such row, all but one repeat.
    """
    repeated = np.maximum(first - slope[1], 0) * np.maximum(second - slope[0], 0)
    distinct: Integers = first * second - repeated
    return distinct


class _Values:
    """The figures of one block."""

    def __init__(
        self, frame: Frame, routes: tuple[Route, ...], steps: tuple[Integers, ...]
    ) -> None:
        self.frame, self.steps = frame, steps
        self.routes = {route.dim: route for route in routes}
        self.of_dim = dict(zip(self.routes, steps, strict=True))
        self.many = len(steps[0])
        self.known: dict[tuple[str, int, tuple[bool, ...]], Chunks] = {}

    def _chunks(self, dim: str, depth: int, flags: tuple[bool, ...]) -> Chunks:
        """flags: by fan-out, whether all instances count, or the first alone."""
        key = (dim, depth, flags)
        if key not in self.known:
            extent, route = self.frame.extents[dim], self.routes[dim]
            self.known[key] = chunks(
                extent, self.of_dim[dim], route, depth, lambda fan: fan is None or flags[fan]
            )
        return self.known[key]

    def depth(self, dim: str, term: Term) -> int:
        """Stages outside of a term's place."""
        route = self.routes[dim]
        if term.operand < 0:
            return len(route.stages)
        return route.depths[term.operand][term.place]

    def term(self, term: Term) -> Floats:
        """A factor of a count."""
        moves = self.frame.movement.moves[term.operand] if term.operand >= 0 else frozenset()
        value = np.ones(self.many)

        around, moved = term.around, term.moved
        slides = self._slides(term.operand) if not term.tiles else None
        for dim in self.routes:
            if dim not in moves:
                value *= self._chunks(dim, self.depth(dim, term), around).number
            elif slides is None or dim not in slides[0]:
                found = self._chunks(dim, self.depth(dim, term), moved)
                value *= found.number if term.tiles else found.total
        if slides is not None:
            names, slope = slides
            parts = [self._chunks(dim, self.depth(dim, term), moved) for dim in names]
            value *= self._sum(parts[0], parts[1], slope)
        for axis in term.axes:
            for dim in self.routes:
                if self.frame.counts_first(term, dim, axis, dim in moves):
                    value *= self._places(dim, axis)
        return value

    def _places(self, dim: str, axis: int) -> Integers:
        """Elements or instances of a dimension along an axis."""
        route, steps = self.routes[dim], self.of_dim[dim]
        if axis < ARRAY_AXES:
            return steps[:, -1]
        stage = route.axes.index(self.frame.fan_axes[axis - ARRAY_AXES])
        above = np.minimum(steps[:, stage - 1], self.frame.extents[dim])
        places: Integers = -(-above // steps[:, stage])
        return places

    @staticmethod
    def _sum(a: Chunks, b: Chunks, slope: tuple[int, int]) -> Integers:
        """Elements of all tiles of two dimensions that share an index."""
        total: Integers = a.count * b.count * _distinct(slope, a.size, b.size)
        total += a.count * (b.rest > 0) * _distinct(slope, a.size, b.rest)
        total += (a.rest > 0) * b.count * _distinct(slope, a.rest, b.size)
        total += (a.rest > 0) * (b.rest > 0) * _distinct(slope, a.rest, b.rest)
        return total

    def _slides(self, operand: int) -> tuple[tuple[str, ...], tuple[int, int]] | None:
        """The pair of this block's dimensions that share an index of the operand."""
        if operand < 0 or len(self.routes) < 2:
            return None
        for names, slope in self.frame.slopes[operand]:
            if names[0] in self.routes:
                return names, slope
        return None

    def overlap(self, term: Term, most: int) -> Integers:
        """Elements of all tiles, of each at most so many: those that overlap in a partner's."""
        (dim,) = self.routes
        found = self._chunks(dim, self.depth(dim, term), term.moved)
        whole: Integers = found.count * np.minimum(found.size, most)
        whole += np.minimum(found.rest, most)
        return whole

    def tile(self, operand: int, place: int) -> Floats:
        """A factor of a tile's elements, its edges padded to whole blocks of the array."""
        moves = self.frame.movement.moves[operand]
        sizes = {}
        for dim, route in self.routes.items():
            if dim in moves:
                steps, extent = self.of_dim[dim], self.frame.extents[dim]
                side = steps[:, -1]
                whole = -(-extent // side) * side
                sizes[dim] = np.minimum(steps[:, route.depths[operand][place] - 1], whole)
        slides = self._slides(operand)
        if slides is not None and set(slides[0]) <= set(sizes):
            first, second = (sizes.pop(name) for name in slides[0])
            sizes["both"] = _distinct(slides[1], first, second)
        value = np.ones(self.many)
        for size in sizes.values():
            value *= size
        return value

    def sides(self) -> Floats:
        """Elements or instances along each axis: rows and columns, then the fan-outs' axes."""
        frame = self.frame
        made = np.ones((self.many, len(frame.axes)))
        for axis, (_, dims) in enumerate(frame.axes):
            for dim in self.routes:
                if dim in dims and frame.contested[axis]:
                    made[:, axis] *= self._places(dim, axis)
        return made


def _columns(found: list[Floats], rows: int) -> Floats:
    return np.stack(found, axis=1) if found else np.ones((rows, 0))


def values(
    frame: Frame,
    routes: tuple[Route, ...],
    steps: tuple[Integers, ...],
    tiled: tuple[Integers, ...],
    terms: tuple[Term, ...],
    stores: tuple[tuple[int, int], ...],
) -> Candidates:
    """The figures of a block's candidates. tiled: the steps that tiles are made of."""
    block, tiles = _Values(frame, routes, steps), _Values(frame, routes, tiled)
    return Candidates(
        dims=tuple(block.routes),
        rows=steps,
        terms=_columns([block.term(term) for term in terms], block.many),
        tiles=_columns([tiles.tile(*store) for store in stores], block.many),
        sides=tiles.sides(),
    )


def alone(
    frame: Frame,
    route: Route,
    steps: Integers,
    terms: tuple[Term, ...],
    stores: tuple[tuple[int, int], ...],
) -> Floats:
    """(candidates, columns): what candidates are worth beside any one of a partner that overlaps.

    Tiles of x and y elements have, by `_distinct` with a slope (a, b), x y - (x - b)+ (y - a)+
    elements. Over all tiles x that is u m + v (y - m), with m = (y - a)+, u the sum of min(x, b)
    and v that of x. So where u and v are no more, and all else, no partner makes it worth more.
    """
    own = values(frame, (route,), (steps,), (steps,), terms, stores)
    block = _Values(frame, (route,), (steps,))
    overlaps = []
    for term in terms:
        for names, slope in frame.slopes[term.operand] if term.operand >= 0 else ():
            if route.dim in names and not term.tiles:
                most = slope[1] if route.dim == names[0] else slope[0]
                overlaps.append(block.overlap(term, most).astype(np.float64))
    return np.concatenate([own.terms, own.tiles, own.sides, _columns(overlaps, len(steps))], axis=1)
