"""What each chain is worth: trips, elements, tiles and sides, for all candidates at once.

Steps are nested, so below any stage the chunks of a dimension are some of one size and at most one
that is smaller: `Chunks`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.schedule.nests.candidates import ARRAY_AXES, Candidates, Draft, Frame, Route
from inferstack.schedule.nests.forms import Term

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

    def beyond(self, most: int) -> Integers:
        """Elements of each chunk but its first `most`."""
        over: Integers = self.count * np.maximum(self.size - most, 0)
        over += np.maximum(self.rest - most, 0)
        return over


def chunks(
    extent: int, steps: Integers, route: Route, depth: int, every: Callable[[int | None], bool]
) -> Chunks:
    """The chunks below the first `depth` stages.

    every: for a fan-out (None: loops), whether all steps count, or the first alone.
    """
    from inferstack.schedule.nests.kernel import chunks as cut

    counted = [every(None if axis is None else axis[0]) for axis in route.axes]
    return Chunks(*cut(extent, steps, depth, np.array(counted)))


Known = dict[object, Any]
"""What is known of one dimension's chains, for all terms that ask the same of them."""


class _Values:
    """The figures of one block. known: by dimension."""

    def __init__(
        self,
        frame: Frame,
        routes: tuple[Route, ...],
        steps: tuple[Integers, ...],
        known: dict[str, Known],
    ) -> None:
        self.frame, self.steps = frame, steps
        self.routes = {route.dim: route for route in routes}
        self.of_dim = dict(zip(self.routes, steps, strict=True))
        self.many = max(map(len, steps))
        self.known = {dim: known.get(dim, {}) for dim in self.routes}

    def _chunks(self, dim: str, depth: int, flags: tuple[bool, ...]) -> Chunks:
        """flags: by fan-out, whether all instances count, or the first alone."""
        known, key = self.known[dim], (depth, flags)
        if key not in known:
            extent, route = self.frame.extents[dim], self.routes[dim]
            known[key] = chunks(
                extent, self.of_dim[dim], route, depth, lambda fan: fan is None or flags[fan]
            )
        found: Chunks = known[key]
        return found

    def depth(self, dim: str, term: Term) -> int:
        """Stages outside of a term's place."""
        route = self.routes[dim]
        if term.operand < 0:
            return len(route.stages)
        return route.depths[term.operand][term.place]

    def term(self, term: Term) -> Floats:
        """A factor of a count."""
        slides = self._slides(term.operand) if not term.tiles else None
        if slides is None and len(self.routes) == 1:
            (dim,) = self.routes
            return self._factor(dim, term)
        value = self._ones()
        for dim in self.routes:
            value = value * self._factor(dim, term)
        if slides is not None:
            over = self._ones()
            for dim in self.routes:
                most = slides.get(dim)
                own = self._factor(dim, term) if most is None else self.beyond(term, dim, most)
                over = over * own
            value = value - over
        return value

    def beyond(self, term: Term, dim: str, most: int) -> Floats:
        """As `_factor`, of each tile but its first `most` elements."""
        found = self._chunks(dim, self.depth(dim, term), term.moved)
        value = found.beyond(most).astype(np.float64)
        for axis in self._first(dim, term):
            value *= self._places(dim, axis)
        return value

    def _factor(self, dim: str, term: Term) -> Floats:
        """What a dimension that overlaps with no other is worth in a count."""
        moves = term.operand >= 0 and dim in self.frame.movement.moves[term.operand]
        flags, depth = term.moved if moves else term.around, self.depth(dim, term)
        total, axes = moves and not term.tiles, self._first(dim, term)
        key = (depth, flags, total, axes)
        known = self.known[dim]
        if key not in known:
            found = self._chunks(dim, depth, flags)
            value = (found.total if total else found.number).astype(np.float64)
            for axis in axes:
                value *= self._places(dim, axis)
            known[key] = value
        made: Floats = known[key]
        return made

    def _first(self, dim: str, term: Term) -> tuple[int, ...]:
        """The axes along which a dimension's places multiply a term."""
        moves = term.operand >= 0 and dim in self.frame.movement.moves[term.operand]
        return tuple(a for a in term.axes if self.frame.counts_first(term, dim, a, moves))

    def _places(self, dim: str, axis: int) -> Integers:
        """Elements or instances of a dimension along an axis."""
        route, steps = self.routes[dim], self.of_dim[dim]
        if axis < ARRAY_AXES:
            return steps[:, -1]
        stage = route.axes.index(self.frame.fan_axes[axis - ARRAY_AXES])
        above = np.minimum(steps[:, stage - 1], self.frame.extents[dim])
        places: Integers = -(-above // steps[:, stage])
        return places

    def _slides(self, operand: int) -> dict[str, int] | None:
        """The pair of this block's dimensions that share an index of the operand."""
        if operand < 0 or len(self.routes) < 2:
            return None
        for names, slope in self.frame.slopes[operand]:
            if names[0] in self.routes:
                return dict(zip(names, reversed(slope), strict=True))
        return None

    def tile(self, operand: int, place: int) -> Floats:
        """A factor of a tile's elements, its edges padded to whole blocks of the array."""
        value, slides = self._ones(), self._slides(operand)
        for dim in self.routes:
            if dim in self.frame.movement.moves[operand]:
                size = self._padded(dim, operand, place)
                value = size if len(self.routes) == 1 else value * size
        if slides is not None:
            over = self._ones()
            for dim, most in slides.items():
                over = over * np.maximum(self._padded(dim, operand, place) - most, 0)
            value = value - over
        return value

    def _padded(self, dim: str, operand: int, place: int) -> Floats:
        """A dimension's part of a tile."""
        known, stage = self.known[dim], self.routes[dim].depths[operand][place] - 1
        if stage not in known:
            steps, side = self.of_dim[dim], self.of_dim[dim][:, -1]
            whole = -(-self.frame.extents[dim] // side) * side
            known[stage] = np.minimum(steps[:, stage], whole).astype(np.float64)
        made: Floats = known[stage]
        return made

    def _ones(self) -> Floats:
        known = next(iter(self.known.values()))
        if self.many not in known.setdefault("ones", {}):
            known["ones"][self.many] = np.ones(self.many)
        made: Floats = known["ones"][self.many]
        return made

    def sides(self) -> list[Floats]:
        """Elements or instances along each contested axis."""
        found = []
        for axis, (_, dims) in enumerate(self.frame.axes):
            if self.frame.contested[axis]:
                made = self._ones()
                for dim in self.routes:
                    if dim in dims:
                        made = made * self._places(dim, axis)
                found.append(made)
        return found


def drafted(
    frame: Frame,
    routes: tuple[Route, ...],
    steps: tuple[Integers, ...],
    tiled: tuple[Integers, ...],
    terms: tuple[Term, ...],
    stores: tuple[tuple[int, int], ...],
    known: dict[str, Known],
) -> Draft:
    """The figures of a block's candidates. tiled: the steps that tiles are made of. Of two
    dimensions one may have a single chain, for all of the other's."""
    block, tiles = _Values(frame, routes, steps, known), _Values(frame, routes, tiled, known)
    return Draft(
        dims=tuple(block.routes),
        rows=steps,
        terms=[block.term(term) for term in terms],
        tiles=[tiles.tile(*store) for store in stores],
        sides=tiles.sides(),
    )


def values(
    frame: Frame,
    routes: tuple[Route, ...],
    steps: tuple[Integers, ...],
    terms: tuple[Term, ...],
    stores: tuple[tuple[int, int], ...],
) -> Candidates:
    """The figures of a block's candidates."""
    return drafted(frame, routes, steps, steps, terms, stores, {}).made()


def overlaps(
    frame: Frame,
    route: Route,
    steps: Integers,
    terms: tuple[Term, ...],
    stores: tuple[tuple[int, int], ...],
    known: dict[str, Known],
) -> tuple[dict[int, Floats], dict[int, Floats]]:
    """By number of a term, and of a store, where the dimension overlaps with a partner: as its
    figure, of each tile but what overlaps with nothing.

    Tiles of x and y elements have x y - (x - b)+ (y - a)+ distinct values a x + b y (a and b in
    lowest terms): two points have one value where they differ by (b, -a), and of each such row all
    but one repeat. So over all tiles the count is the product of two sums less that of two others.
    """
    block = _Values(frame, (route,), (steps,), known)
    of_terms: dict[int, Floats] = {}
    of_stores: dict[int, Floats] = {}
    for number, term in enumerate(terms):
        most = _most(frame, term.operand, route.dim)
        if most is not None and not term.tiles:
            of_terms[number] = block.beyond(term, route.dim, most)
    for number, (operand, place) in enumerate(stores):
        most = _most(frame, operand, route.dim)
        if most is not None:
            of_stores[number] = np.maximum(block.tile(operand, place) - most, 0)
    return of_terms, of_stores


def _most(frame: Frame, operand: int, dim: str) -> int | None:
    """The elements of a tile that overlap with nothing: the partner's coefficient."""
    for names, slope in frame.slopes[operand] if operand >= 0 else ():
        if dim in names:
            return slope[1] if dim == names[0] else slope[0]
    return None


def alone(
    frame: Frame,
    route: Route,
    steps: Integers,
    terms: tuple[Term, ...],
    stores: tuple[tuple[int, int], ...],
    known: dict[str, Known],
) -> list[Floats]:
    """By figure: what candidates are worth beside any one of a partner that overlaps.

    With v the elements of all tiles and w their `overlaps`, and v' and w' of the partner, a count
    is v v' - w w', which is (v - w) w' + v (v' - w'). So where v - w and v are no more, and all
    else, no partner makes it worth more.
    """
    terms = tuple(term for term in terms if not term.axes)
    own = drafted(frame, (route,), (steps,), (steps,), terms, stores, known)
    over, _ = overlaps(frame, route, steps, terms, stores, known)
    left = [own.terms[number] - column for number, column in over.items()]
    return [*own.terms, *own.tiles, *own.sides, *left]
