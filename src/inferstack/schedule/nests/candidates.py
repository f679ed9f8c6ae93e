"""Candidates of a block, the route of a dimension through a skeleton, and what both refer to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferstack.schedule.nests.chains import Stage
from inferstack.schedule.nests.forms import Term
from inferstack.schedule.nests.shared import Shared
from inferstack.schedule.nests.skeleton import Movement

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

ARRAY_AXES = 2
"""Rows and columns, before the axes of fan-outs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Extents of the dimensions above 1, what they move, and where they may lie side by side.

    shared: by operand, what dimensions share of its indices. axes: (size, dimensions) of rows,
    columns, and of each (fan-out, axis) of fan_axes.
    contested: axes where a chain may not fit: several dimensions may lie along them, or one along
    two sides. On the others every chain does.
    """

    extents: dict[str, int]
    movement: Movement
    shared: tuple[tuple[Shared, ...], ...]
    axes: tuple[tuple[int, tuple[str, ...]], ...]
    fan_axes: tuple[tuple[int, int], ...]
    contested: tuple[bool, ...]

    @property
    def limits(self) -> list[int]:
        """Places along each contested axis."""
        return [size for (size, _), own in zip(self.axes, self.contested, strict=True) if own]

    def counts_first(self, term: Term, dim: str, axis: int, moves: bool) -> bool:
        """Whether a term counts just the first of the places of a dimension along an axis.

        moves: whether the dimension moves the term's operand. Of the array's sides that is so for
        its steps.
        """
        if dim not in self.axes[axis][1]:
            return False
        if axis < ARRAY_AXES:
            return term.operand < 0
        fan, _ = self.fan_axes[axis - ARRAY_AXES]
        return not (term.moved if moves else term.around)[fan]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The stages of one dimension in a skeleton, outermost first.

    depths: by operand, the stages outside of each of its places (the array last). segments: for a
    stage of loops, the event below which they stand (-1: above all); for an axis, its fan-out's
    event. axes: for an axis, (fan-out, axis); None for loops.
    """

    dim: str
    stages: tuple[Stage, ...]
    segments: tuple[int, ...]
    axes: tuple[tuple[int, int] | None, ...]
    depths: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """`Candidates` by column: arrays that drafts share."""

    dims: tuple[str, ...]
    rows: tuple[Integers, ...]
    terms: list[Floats]
    tiles: list[Floats]
    sides: list[Floats]
    alone: list[Floats] | None = None

    def __len__(self) -> int:
        return max(map(len, self.rows))

    @property
    def least(self) -> Floats:
        """The least of each term."""
        import numpy as np

        return np.array([column.min() for column in self.terms])

    def made(self) -> Candidates:
        """The candidates."""
        return Candidates(
            dims=self.dims,
            rows=self.rows,
            terms=_stacked(self.terms, len(self)),
            tiles=_stacked(self.tiles, len(self)),
            sides=_stacked(self.sides, len(self)),
            alone=None if self.alone is None else _stacked(self.alone, len(self)),
        )


def _stacked(columns: list[Floats], rows: int) -> Floats:
    import numpy as np

    made = np.empty((rows, len(columns)))
    for number, column in enumerate(columns):
        made[:, number] = column
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What each choice is worth. rows: by dimension, the chain of each candidate.

    terms: (candidates, terms). tiles: (candidates, stores). sides: (candidates, contested axes).
    alone: where the terms hold a partner's share, what the candidate is worth whatever the partner
    does.
    """

    dims: tuple[str, ...]
    rows: tuple[Integers, ...]
    terms: Floats
    tiles: Floats
    sides: Floats
    alone: Floats | None = None

    def __len__(self) -> int:
        return len(self.terms)

    def rows_at(self, kept: Integers) -> Candidates:
        """Some of them, in that order."""
        return Candidates(
            dims=self.dims,
            rows=tuple(row[kept] for row in self.rows),
            terms=self.terms[kept],
            tiles=self.tiles[kept],
            sides=self.sides[kept],
            alone=None if self.alone is None else self.alone[kept],
        )
