"""When two dimensions share an index, or one has padding: at the edge of each condition."""

from __future__ import annotations

import itertools
import random
import tracemalloc

import pytest

from inferstack.ops.rule import Affine
from inferstack.schedule.nests.shared import Places, shared

ROWS = (("p", 2), ("r", 1))


@pytest.mark.parametrize(
    ("terms", "extents", "overlaps"),
    [
        ((("p", 1), ("r", 1)), {"p": 3, "r": 2}, True),
        ((("p", 1), ("r", 1)), {"p": 3, "r": 1}, False),
        ((("p", 2), ("r", 1)), {"p": 3, "r": 2}, False),
        ((("p", 2), ("r", 1)), {"p": 3, "r": 3}, True),
        ((("p", 3), ("r", 1)), {"p": 3, "r": 3}, False),
        ((("p", 3), ("r", 1)), {"p": 3, "r": 4}, True),
        ((("p", 3), ("r", 2)), {"p": 3, "r": 2}, False),
        ((("p", 4), ("r", 2)), {"p": 3, "r": 3}, True),
        ((("p", 0), ("r", 2)), {"p": 3, "r": 3}, False),
        ((("p", -2), ("r", 2)), {"p": 2, "r": 2}, True),
    ],
)
def test_tiles_overlap_where_the_smaller_steps_reach_the_larger(
    terms: tuple[tuple[str, int], ...], extents: dict[str, int], overlaps: bool
) -> None:
    found = shared(Affine(terms), extents)
    assert (found is not None) is overlaps
    if found is not None:
        assert found.padding is None
        assert set(found.dims) == {"p", "r"}


@pytest.mark.parametrize(
    ("offset", "size", "padded"),
    [(0, 6, False), (0, 7, False), (0, 5, True), (-1, 9, True), (-1, 5, True), (1, 7, False),
     (1, 6, True)],
)  # fmt: skip
def test_padding_is_what_lies_outside(offset: int, size: int, padded: bool) -> None:
    """Indices of 0 to 5, that share nothing."""
    found = shared(Affine(ROWS, offset=offset, size=size), {"p": 3, "r": 2})
    assert (found is not None) is padded
    one = shared(Affine((("p", 2),), offset=offset, size=size - 1), {"p": 3})
    assert (one is not None) is padded
    if one is not None:
        assert one.padding is not None
        outside = [v for v in range(offset, offset + 6, 2) if not 0 <= v < size - 1]
        assert one.padding.points == len(outside)
        assert (one.dims, one.free) == (("p",), (3,))


def test_what_is_shared_repeats_at_the_least_common_multiple() -> None:
    found = shared(Affine((("p", 4), ("r", 6))), {"p": 9, "r": 9})
    assert found is not None
    assert (found.dims, found.free) == (("p", "r"), (3, 2))
    many = shared(Affine((("p", 1), ("r", 1), ("s", 1))), {"p": 2, "r": 2, "s": 2})
    assert many is not None
    assert (many.dims, many.free, many.padding) == (("p", "r", "s"), (1, 1, 1), None)


def test_kinds_of_places_are_those_of_a_walk_over_all_pairs() -> None:
    chance = random.Random(7)
    for _ in range(2_000):
        extents = {"p": chance.randint(2, 9), "r": chance.randint(2, 9)}
        terms = (("p", chance.randint(1, 3)), ("r", chance.randint(1, 3)))
        reach = 1 + sum(c * (extents[dim] - 1) for dim, c in terms)
        size = chance.randint(1, reach)
        index = Affine(terms, offset=-chance.randint(0, reach), size=size)
        found = shared(index, extents)
        if found is None or found.padding is None:
            continue
        (one, first), (other, second) = ((dim, dict(terms)[dim]) for dim in found.dims)
        values = {
            (row, column): index.offset + first * row + second * column
            for row, column in itertools.product(range(extents[one]), range(extents[other]))
        }
        assert found.padding.points == sum(not 0 <= value < size for value in values.values())
        rows, columns = (extents[n] - f for n, f in zip(found.dims, found.free, strict=True))
        pairs = {
            (row, column)
            for row, column in itertools.product(range(rows), range(columns))
            if 0 <= values[row, column + found.free[1]] < size
        }
        listed = [
            at
            for kind, beside in found.padding.kinds
            for at in itertools.product(_all(kind, rows), _all(beside, columns))
        ]
        assert len(listed) == len(set(listed))
        assert set(listed) == pairs


def _all(places: Places, count: int) -> set[int]:
    return set(range(count)) - set(places.listed) if places.others else set(places.listed)


def test_a_long_axis_takes_no_memory_for_each_of_its_elements() -> None:
    """They were found element by element, once for each skeleton."""
    index = Affine((("p", 1), ("r", 1)), offset=-1, size=10**6)
    tracemalloc.start()
    found = shared(index, {"p": 10**6, "r": 3})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
    assert found is not None
    assert found.padding is not None
    assert found.padding.points == 2
