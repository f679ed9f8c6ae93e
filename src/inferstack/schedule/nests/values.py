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
from inferstack.schedule.nests.shared import Places, Shared

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

    def together(self, places: Places, apart: int) -> Integers:
        """Of some places in the dimension, those in one chunk with the one `apart` behind them."""
        own = np.zeros_like(self.size)
        for place in places.listed:
            own += place // self.size == (place + apart) // self.size
        return self.beyond(apart) - own if places.others else own


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
        own = None if term.tiles else self.shares(term.operand, term.stored)
        if own is None and len(self.routes) == 1:
            (dim,) = self.routes
            return self._factor(dim, term)
        value = self._ones()
        for dim in self.routes:
            value = value * self._factor(dim, term)
        if own is not None:
            repeated = [self.repeated(term, dim, own) for dim in own.dims]
            for columns in zip(*repeated, strict=True):
                over = self._ones()
                for column in columns:
                    over = over * column
                value = value - over
        return value

    def repeated(self, term: Term, dim: str, own: Shared) -> list[Floats]:
        """What a dimension of an index has in each product of what is not counted: elements that
        repeat others; of stored ones, points in the padding, then pairs of each kind that repeat.
        """
        found = self._chunks(dim, self.depth(dim, term), term.moved)
        at = own.dims.index(dim)
        if own.padding is None or not term.stored:
            counts = [found.beyond(own.free[at])]
        else:
            once = own.padding.points if at == 0 else 1
            counts = [np.full_like(found.size, once)]
            for kind in own.padding.kinds:
                counts.append(found.together(kind[at], own.free[at]))
        return [self._placed(term, dim, count) for count in counts]

    def beside(self, term: Term, dim: str, own: Shared) -> list[Floats]:
        """What a dimension repeats beside each kind of elements of its partner."""
        if own.padding is None or not term.stored:
            return self.repeated(term, dim, own)
        found = self._chunks(dim, self.depth(dim, term), term.moved)
        at = own.dims.index(dim)
        kinds = [own.padding.seconds, [second for _, second in own.padding.kinds]][at]
        return [self._placed(term, dim, found.together(kind, own.free[at])) for kind in kinds]

    def _placed(self, term: Term, dim: str, count: Integers) -> Floats:
        """Times the dimension's places along the axes of a term."""
        value = count.astype(np.float64)
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
            known[key] = self._placed(term, dim, found.total if total else found.number)
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

    def shares(self, operand: int, stored: bool) -> Shared | None:
        """What this block's dimensions share of the operand; stored: of what DRAM holds of it."""
        for own in self.frame.shared[operand] if operand >= 0 else ():
            if set(own.dims) <= set(self.routes) and (stored or len(own.dims) > 1):
                return own
        return None

    def tile(self, operand: int, place: int) -> Floats:
        """A factor of a tile's elements, its edges padded to whole blocks of the array."""
        value, own = self._ones(), self.shares(operand, stored=False)
        for dim in self.routes:
            if dim in self.frame.movement.moves[operand]:
                size = self._padded(dim, operand, place)
                value = size if len(self.routes) == 1 else value * size
        if own is not None:
            over = self._ones()
            for dim, free in zip(own.dims, own.free, strict=True):
                over = over * np.maximum(self._padded(dim, operand, place) - free, 0)
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
    """By number of a term, and of a store, what the dimension has in each product that is taken off
    where it shares an index with a partner: (products, candidates). See `shared`."""
    block = _Values(frame, (route,), (steps,), known)
    of_terms: dict[int, Floats] = {}
    of_stores: dict[int, Floats] = {}
    for number, term in enumerate(terms):
        own = _pair(frame, term.operand, route.dim)
        if own is not None and not term.tiles:
            of_terms[number] = np.stack(block.repeated(term, route.dim, own))
    for number, (operand, place) in enumerate(stores):
        own = _pair(frame, operand, route.dim)
        if own is not None:
            free = own.free[own.dims.index(route.dim)]
            of_stores[number] = np.maximum(block.tile(operand, place) - free, 0)[None]
    return of_terms, of_stores


def _pair(frame: Frame, operand: int, dim: str) -> Shared | None:
    """What a dimension shares with a partner of an operand's index."""
    for own in frame.shared[operand] if operand >= 0 else ():
        if dim in own.dims and len(own.dims) > 1:
            return own
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

    With v the elements of all tiles and w those that repeat, and v' and w' of the partner, a count
    is v v' - w w', which is (v - w) w' + v (v' - w'). So where v - w and v are no more, and all
    else, no partner makes it worth more. Of what DRAM holds v is the same for all candidates, and w
    depends on the partner's elements: v - w must be no more beside each kind of them.
    """
    terms = tuple(term for term in terms if not term.axes)
    own = drafted(frame, (route,), (steps,), (steps,), terms, stores, known)
    block = _Values(frame, (route,), (steps,), known)
    left: list[Floats] = []
    for number, term in enumerate(terms):
        pair = _pair(frame, term.operand, route.dim)
        if pair is not None and not term.tiles:
            left += [own.terms[number] - w for w in block.beside(term, route.dim, pair)]
    return [*own.terms, *own.tiles, *own.sides, *left]
