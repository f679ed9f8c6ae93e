"""Chains: the steps that one dimension takes from the outside in, and which of them can be best.

A chain has one step for each stage, outermost first: a segment of loops, or an axis of a fan-out;
the last step is what lies side by side in the array. Steps are nested: each is a multiple of the
next, so that edges of outer tiles are edges of inner ones; the extent need not be a multiple of
anything, so the last tile of every stage may be smaller. (Perfect factors, where every step divides
the one before, are some of these.)

Which chains matter. Let the innermost step x cut the dimension into T = ceil(extent / x) units. A
loop's step of j units makes ceil(T / j) trips, whatever x is. So of two chains with equal trips at
each stage the one with the smaller units is as good in every respect; and for given trips the
smallest multiple of each step. On and inside of an axis of instances all multiples are kept, as the
first instance's share of the last chunk depends on them; so they are where tiles overlap in strides
(see `blocks`). Outside of an axis nothing depends on more than what the axis cuts, and trips.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stage:
    """size None: a loop, of any number of trips; else an axis of so many instances."""

    size: int | None = None


@lru_cache(maxsize=4096)
def multiples(units: int, perfect: bool, every: bool) -> tuple[int, ...]:
    """The steps, in units, that may stand outside of a step of one unit.

    perfect: those that divide. every: all; else the smallest for each number of trips.
    """
    if perfect:
        return tuple(j for j in range(1, units + 1) if units % j == 0)
    if every:
        return tuple(range(1, units + 1))
    found, trips = list[int](), units
    while trips > 0:
        found.append(-(-units // trips))
        trips = -(-units // found[-1]) - 1
    return tuple(found)


def innermost(extent: int, side: int, perfect: bool, every: bool) -> tuple[int, ...]:
    """Extents side by side in the array, of at most `side`.

    perfect: those that divide. every: all; else the smallest for each number of trips.
    """
    most = min(extent, side)
    if perfect or every:
        return tuple(e for e in range(1, most + 1) if every or extent % e == 0)
    smallest: dict[int, int] = {}
    for size in range(most, 0, -1):
        smallest[-(-extent // size)] = size
    return tuple(sorted(smallest.values()))


@lru_cache(maxsize=1024)
def chains(
    extent: int, stages: tuple[Stage, ...], side: int, perfect: bool, every: bool, widest: bool
) -> Integers:
    """(chains, stages) of steps. side: most elements side by side in the array.

    widest: leave out what is no better than with more elements side by side; only where nothing
    else wants that side, and no store holds just these elements. A step that is at least the extent
    stands for no loop at all.
    """
    import numpy as np

    assert stages[0].size is None, "loops may stand above everything"
    spread = any(stage.size is not None for stage in stages)
    sides = innermost(extent, side, perfect, (every or spread) and not perfect)
    found = np.array([[e] for e in sides], dtype=np.int64)
    # The last step is the last stage's; each stage before it, from the inside out, is a multiple.
    for number in range(len(stages) - 1, 0, -1):
        spread = any(stage.size is not None for stage in stages[: number + 1])
        found = _widened(extent, found, stages[number], perfect, every or spread)
        if widest and spread and number == len(stages) - 1 and stages[number].size is None:
            found = _widest(extent, found, side)
    found = np.ascontiguousarray(found)
    found.setflags(write=False)
    return found


def _widest(extent: int, found: Integers, side: int) -> Integers:
    """Pairs of an outer step and one side by side, without those whose outer step a wider side cuts
    into fewer. Everything else is the same, where whole sides cover the extent as closely: tiles
    are padded to whole sides."""
    import numpy as np

    outer, inner = found.T
    beaten = np.zeros(len(found), dtype=np.bool_)
    for times in range(2, side + 1):
        wide = inner * times
        same = -(-extent // wide) * wide == -(-extent // inner) * inner
        beaten |= (wide <= min(side, extent)) & (outer % wide == 0) & same
    return found[~beaten]


def _widened(extent: int, inner: Integers, stage: Stage, perfect: bool, every: bool) -> Integers:
    """Every chunk that a stage can cut into the steps of `inner`, in front of them."""
    import numpy as np

    rows, columns = [], []
    steps, place = np.unique(inner[:, 0], return_inverse=True)
    for number, step in enumerate(steps.tolist()):
        units = -(-extent // step)
        allowed = multiples(units, perfect, every)
        if stage.size is not None:
            allowed = tuple(j for j in allowed if j <= stage.size)
        outer = np.array(allowed, dtype=np.int64) * step
        here = np.flatnonzero(place == number)
        rows.append(np.repeat(here, len(outer)))
        columns.append(np.tile(outer, len(here)))
    row, column = np.concatenate(rows), np.concatenate(columns)
    return np.concatenate([column[:, None], inner[row]], axis=1)


@lru_cache(maxsize=4096)
def count_chains(extent: int, stages: tuple[Stage, ...], side: int, perfect: bool) -> int:
    """How many chains there are in all: the size of this dimension's share of the space.

    Every step may be any multiple of the next (a divisor, where perfect), or no loop at all.
    """
    found = {e: 1 for e in range(1, min(extent, side) + 1) if not perfect or extent % e == 0}
    for stage in reversed(stages[1:]):
        made: dict[int, int] = {}
        for step, count in found.items():
            for j in multiples(-(-extent // step), perfect, True):
                if stage.size is not None and j > stage.size:
                    break
                outer = min(j * step, -(-extent // step) * step)
                made[outer] = made.get(outer, 0) + count
        found = made
    return sum(found.values())
