"""How many distinct values an affine index takes: the elements of an axis that loops touch."""

from __future__ import annotations

import math
from functools import lru_cache

Terms = tuple[tuple[int, int], ...]
"""(coefficient, extent) of each dimension, which goes from 0 to extent - 1."""


@lru_cache(maxsize=65536)
def distinct(terms: Terms) -> int:
    """Number of distinct values of the sum of coefficient * x.

    Closed form where each coefficient divides the next larger one.
    """
    if any(extent == 0 for _, extent in terms):
        return 0
    moving = _moving(terms)
    dense = _dense(moving)
    if dense is not None:
        step, span = dense
        return span // step + 1
    reach = 0
    for coefficient, extent in moving:
        if coefficient <= reach:
            return _values(moving).bit_count()
        reach += coefficient * (extent - 1)
    return math.prod(extent for _, extent in moving)


@lru_cache(maxsize=65536)
def distinct_inside(terms: Terms, offset: int, size: int) -> int:
    """Number of distinct values of offset + the sum of coefficient * x in 0 .. size - 1."""
    if any(extent == 0 for _, extent in terms):
        return 0
    moving = _moving(terms)
    least = offset + sum(c * (extent - 1) for c, extent in terms if c < 0)
    most = least + sum(c * (extent - 1) for c, extent in moving)
    if least >= 0 and most < size:
        return distinct(terms)
    dense = _dense(moving)
    if dense is None:
        inside = _values(moving) >> max(-least, 0) << max(least, 0)
        return (inside & ((1 << size) - 1)).bit_count()
    step, _ = dense
    first = max(-(-(0 - least) // step), 0)
    last = (min(most, size - 1) - least) // step
    return max(last - first + 1, 0)


def _moving(terms: Terms) -> list[tuple[int, int]]:
    """Those that take more than one value, the smallest coefficient first."""
    return sorted((abs(c), extent) for c, extent in terms if c != 0 and extent > 1)


def _dense(moving: list[tuple[int, int]]) -> tuple[int, int] | None:
    """(step, span) where the values are all multiples of step from 0 to span."""
    if not moving:
        return 1, 0
    step, span = moving[0][0], 0
    for coefficient, extent in moving:
        if coefficient % step or coefficient > span + step:
            return None
        span += coefficient * (extent - 1)
    return step, span


def _values(moving: list[tuple[int, int]]) -> int:
    """The values from the least on: bit v of a number says whether v occurs."""
    values = 1
    for coefficient, extent in moving:
        covered = 1
        while covered < extent:
            more = min(covered, extent - covered)
            values |= values << coefficient * more
            covered += more
    return values
