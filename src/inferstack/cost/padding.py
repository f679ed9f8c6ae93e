"""How much of an operand's tiles is padding: what they hold on the chip and DRAM does not."""

from __future__ import annotations

from collections.abc import Sequence

from inferstack.ops.distinct import distinct, distinct_inside
from inferstack.ops.rule import Affine

Box = dict[str, tuple[int, int]]
"""Start and extent by dimension."""


def padding_elements(
    index: Affine, extents: dict[str, int], loops: Sequence[tuple[str, int]]
) -> int:
    """Positions of an axis outside of the tensor, in all tiles that `loops` (dimension, step) cut.

    Tiles that lie inside are passed over together: time goes with those that do not.
    """
    if index.size is None:
        return 0
    names = [name for name, _ in index.terms]
    own = [(name, step) for name, step in loops if name in names]
    return _outside(index, index.size, own, {name: (0, extents[name]) for name in names})


def _outside(index: Affine, size: int, loops: Sequence[tuple[str, int]], box: Box) -> int:
    least = most = index.offset
    for name, coefficient in index.terms:
        start, extent = box[name]
        ends = (coefficient * start, coefficient * (start + extent - 1))
        least, most = least + min(ends), most + max(ends)
    if least >= 0 and most < size:
        return 0
    if not loops:
        terms = tuple((coefficient, box[name][1]) for name, coefficient in index.terms)
        offset = index.offset + sum(c * box[name][0] for name, c in index.terms)
        return distinct(terms) - distinct_inside(terms, offset, size)
    (name, step), rest = loops[0], loops[1:]
    start, extent = box[name]
    chunks = range(start, start + extent, step)
    total = 0
    # Tiles that lie inside are neighbours: from both ends up to the first of them.
    met = len(chunks)
    for number, at in enumerate(chunks):
        found = _outside(index, size, rest, box | {name: (at, min(step, start + extent - at))})
        if found == 0:
            met = number
            break
        total += found
    for at in reversed(chunks[met + 1 :]):
        found = _outside(index, size, rest, box | {name: (at, min(step, start + extent - at))})
        if found == 0:
            break
        total += found
    return total
