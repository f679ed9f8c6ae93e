"""Indices that two dimensions share, and what of them is padding.

Tiles of x and y elements of two dimensions have x y - (x - b)+ (y - a)+ distinct values a x + b y
(a and b in lowest terms): two points have one value where they differ by (b, -a), and of each such
row all but one repeat. So over all tiles the count is the product of two sums less that of two
others.

Without padding it is the same with the points left out that lie there. The points of all tiles are
those of the whole, however it is cut. A pair of points (i, j) and (i + b, j - a) repeats where both
dimensions keep it in one tile: so what repeats is a sum over i and j of x_i y_j, where (i, j) is no
padding. Most i have the same such j; those at the edges have others. One product of two sums for
each kind of i.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from inferstack.ops.rule import Affine

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Places:
    """Places of a dimension where a pair of points may begin: `listed` ones, or all the others."""

    listed: tuple[int, ...]
    others: bool = False


@dataclass(frozen=True, slots=True)
class Padding:
    """What of a shared index is padding.

    points: of the two dimensions, as many lie there. kinds: places of the first dimension, and
    those of the second that are no padding beside them. seconds: the kinds of places of the second,
    as what stands beside them of the first.
    """

    points: int
    kinds: tuple[tuple[Places, Places], ...]
    seconds: tuple[Places, ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """One or two dimensions of an index. free: elements of a tile of each that repeat nothing of
    the other's, its partner's coefficient in lowest terms."""

    dims: tuple[str, ...]
    free: tuple[int, ...]
    padding: Padding | None

    @property
    def irregular(self) -> frozenset[str]:
        """Dimensions of which larger chunks, though as many, may repeat more: those of which a
        chunk's first elements repeat nothing, or where it matters which are in one chunk."""
        found = {dim for dim, own in zip(self.dims, self.free, strict=True) if own > 1}
        if self.padding is not None:
            kinds = (self.padding.seconds, tuple(places for _, places in self.padding.kinds))
            for dim, places in zip(self.dims, kinds, strict=True):
                # The first two elements are apart only where all are.
                found |= {dim} if any(set(own.listed) - {0} for own in places) else set()
        return frozenset(found)

    @property
    def look(self) -> object:
        """Equal for indices that mirror each other."""
        return self.free, self.padding


def shared(index: Affine, extents: dict[str, int]) -> Shared | None:
    """What two dimensions of an index share, or one has as padding; None where there is nothing.

    Dimensions of one element are left out. `dims` may be more than two, with nothing else known.
    """
    return _shared(index, tuple((dim, extents[dim]) for dim, _ in index.terms))


@lru_cache(maxsize=4096)
def _shared(index: Affine, sizes: tuple[tuple[str, int], ...]) -> Shared | None:
    extents = dict(sizes)
    terms = sorted((abs(c), dim) for dim, c in index.terms if extents[dim] > 1 and c != 0)
    names = tuple(dim for _, dim in terms)
    span, overlap = 0, False
    for coefficient, dim in terms:
        overlap |= bool(span) and coefficient <= span
        span += coefficient * (extents[dim] - 1)
    size = index.size
    leaves = size is not None and (index.offset < 0 or index.offset + span >= size)
    if not terms or not (overlap or leaves):
        return None
    if len(terms) > 2:
        return Shared(names, (1,) * len(names), None)
    if len(terms) == 1:
        ((step, dim),) = terms
        assert size is not None, "an index with padding has the size of its axis"
        low, high = _inside(index.offset, step, extents[dim], size)
        points = extents[dim] - max(high - low, 0)
        return Shared(names, (extents[dim],), Padding(points, (), ()))
    (first, _), (second, _) = terms
    common = math.gcd(first, second)
    free = (second // common, first // common)
    return Shared(names, free, _padding(index, size, terms, free, extents) if leaves else None)


def _padding(
    index: Affine,
    size: int | None,
    terms: list[tuple[int, str]],
    free: tuple[int, int],
    extents: dict[str, int],
) -> Padding:
    """Of two dimensions. See the module."""
    assert size is not None, "an index with padding has the size of its axis"
    (first, one), (second, other) = terms
    rows, columns = extents[one] - free[0], extents[other] - free[1]
    begin = index.offset + second * free[1]
    beside = _grouped(rows, first, columns, second, begin, size)
    kinds = tuple((places, _places(*span, columns)) for span, places in beside.items())
    across = _grouped(columns, second, rows, first, begin, size)
    own, across_all = extents[one], extents[other]
    points = sum(
        across_all - max(high - low, 0)
        for low, high in (
            _inside(index.offset + first * row, second, across_all, size)
            for row in _beside(_whole(own, first, across_all, second, index.offset, size), own)
        )
    )
    return Padding(points, kinds, tuple(_places(*span, rows) for span in across))


def _grouped(
    rows: int, step: int, columns: int, stride: int, begin: int, size: int
) -> dict[tuple[int, int], Places]:
    """Rows by the columns (first, behind the last) that are no padding in them, if there are any:
    begin + step * row + stride * column in 0 .. size - 1."""
    whole = _whole(rows, step, columns, stride, begin, size)
    found: dict[tuple[int, int], list[int]] = {}
    for row in _beside(whole, rows):
        low, high = _inside(begin + step * row, stride, columns, size)
        if low < high:
            found.setdefault((low, high), []).append(row)
    made = {span: _listed(own, rows) for span, own in found.items()}
    return made | {(0, columns): _run(whole, rows)} if whole else made


def _whole(rows: int, step: int, columns: int, stride: int, begin: int, size: int) -> range:
    """The rows that have no padding at all, which stand side by side."""
    if columns <= 0:
        return range(0)
    low, high = _inside(begin, step, rows, size - stride * (columns - 1))
    return range(low, max(low, high))


def _beside(run: range, count: int) -> tuple[int, ...]:
    """What of 0 .. count - 1 is in front of a run and behind it."""
    return (*range(min(run.start, count)), *range(max(run.stop, run.start), count))


def _inside(start: int, stride: int, count: int, size: int) -> tuple[int, int]:
    """The first, and the one behind the last, of `count` values that lie in 0 .. size - 1."""
    low = max(-(start // stride), 0) if start < 0 else 0
    return low, min((size - 1 - start) // stride + 1, count)


def _places(low: int, high: int, count: int) -> Places:
    return _run(range(low, high), count)


def _run(own: range, count: int) -> Places:
    if 2 * len(own) <= count:
        return Places(tuple(own))
    return Places(_beside(own, count), others=True)


def _listed(own: Sequence[int], count: int) -> Places:
    """As a list, or of all others where that is shorter."""
    if 2 * len(own) <= count:
        return Places(tuple(own))
    return Places(tuple(sorted(set(range(count)) - set(own))), others=True)
