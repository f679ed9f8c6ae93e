"""How many distinct elements of a tensor an access of an iteration space touches."""

from __future__ import annotations

import math

from inferstack.ops.distinct import distinct_inside
from inferstack.ops.rule import Access, IterationSpace


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
    return math.prod(
        distinct_inside(tuple((c, extents[dim]) for dim, c in i.terms), i.offset, size)
        for i, size in sizes
    )
