"""How many distinct elements of a tensor an access of an iteration space touches."""

from __future__ import annotations

import math
from collections.abc import Mapping

from inferstack.ops.rule import Access, Affine, IterationSpace


def touched_elements(access: Access, space: IterationSpace, shape: tuple[int, ...]) -> int:
    """The elements of the tensor of `shape` that the loops touch, each once.

    What lies outside (padding) does not count. An index must not share a dimension with another
    one of the same access; no operator of ours does that.
    """
    extents, axes = space.extents, len(access.indices)
    leading = len(shape) - axes + 1
    # Fewer indices than axes: the first one walks the leading axes as one.
    merged = (math.prod(shape[:leading]), *shape[leading:]) if axes else ()
    sizes = zip(access.indices, merged, strict=True)
    return math.prod(_distinct(index, extents, size) for index, size in sizes)


def _distinct(index: Affine, extents: Mapping[str, int], size: int) -> int:
    """The distinct values in 0 .. size - 1 that an index takes."""
    terms = sorted((factor, extents[dim]) for dim, factor in index.terms if extents[dim] != 1)
    if any(extent == 0 for _, extent in terms):
        return 0
    reach, count = 0, 1
    for factor, extent in terms:
        if factor <= reach:
            return _enumerated(index, terms, size)
        reach += factor * (extent - 1)
        count *= extent
    if index.offset < 0 or index.offset + reach >= size:
        return _enumerated(index, terms, size)
    return count


def _enumerated(index: Affine, terms: list[tuple[int, int]], size: int) -> int:
    """The same by listing the values: overlapping windows, and edges that are cut off."""
    values = {index.offset}
    for factor, extent in terms:
        values = {value + factor * step for value in values for step in range(extent)}
    return sum(0 <= value < size for value in values)
