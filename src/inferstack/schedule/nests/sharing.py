"""Bounds of what several dimensions share: the instances of a fan-out, the sides of the array.

Where the first instance alone counts, each dimension's part of a count is least when that dimension
has an axis for itself; a product of such least parts is a weak bound, as all of them cannot. So
every row of port cycles gets a second one, whose counts are a share of the axes' instances: if a
dimension's part of a count is f and it takes s of the n places along an axis, then, as the product
of all s is at most n, the count is the product of all f, and that is at least the product of all
f s, over n. In a mapping that fits the second row is never more than the first; of its parts, f s
hardly depends on how the places are shared out.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from inferstack.schedule.nests.forms import FIRST_PORT, Forms, Term

if TYPE_CHECKING:
    from inferstack.schedule.nests.candidates import Frame


def with_shares(known: Forms, frame: Frame) -> Forms:
    """The forms, and for every row of cycles that depends on contested axes its bound."""
    import numpy as np

    shared = [_shared(term, frame) for term in known.terms]
    divisors = np.array([math.prod(frame.axes[axis][0] for axis in term.axes) for term in shared])
    changed = np.array([bool(term.axes) for term in shared])
    ports = np.arange(FIRST_PORT, len(known.constants))
    rows = ports[(known.factors[ports][:, changed] > 0).any(axis=1)]
    if not len(rows):
        return known
    added = [number for number in range(len(shared)) if changed[number]]
    factors = np.zeros((len(known.factors) + len(rows), len(shared) + len(added)))
    factors[: len(known.factors), : len(shared)] = known.factors
    bounds = factors[len(known.factors) :]
    bounds[:, : len(shared)] = np.where(changed, 0.0, known.factors[rows])
    bounds[:, len(shared) :] = (known.factors[rows] / divisors)[:, added]
    return Forms(
        terms=(*known.terms, *(shared[number] for number in added)),
        factors=factors,
        constants=np.concatenate([known.constants, known.constants[rows]]),
    )


def _shared(term: Term, frame: Frame) -> Term:
    """The term times the places that each dimension takes along contested axes."""
    own = frame.movement.moves[term.operand] if term.operand >= 0 else frozenset()
    axes = []
    for axis, ((_, dims), contested) in enumerate(zip(frame.axes, frame.contested, strict=True)):
        usable = {dim for dim in dims if dim in frame.extents}
        if contested and any(frame.counts_first(term, dim, axis, dim in own) for dim in usable):
            axes.append(axis)
    return replace(term, axes=tuple(axes))
