"""Skeletons: which operand lives in which levels, and in which order its stores stand.

A nest is a skeleton (stores and fan-outs, outermost first) with loops in the segments between. Only
canonical nests are walked; every other nest of the space costs as much as one of them or more:

1. A store stands below a loop that moves its operand: moving it outwards past one that does not
   changes neither its tile nor its loads. So the loads of a store are the product of all loops
   above it, whatever their order, and the orders of loops inside a segment need not be told apart.
   (Where the innermost loop above does not move the operand, the product counts too much; the same
   nest is then counted right in the skeleton with the store further out.)
2. Below the array's registers (a store without a level) stands no loop that moves what they hold,
   as they hold one block. Directly below a store of an operand stand only loops over dimensions
   that do not move it: a loop that does may go above the store, where the tile is smaller and the
   loads are as many elements. An affine index over two dimensions (a convolution's input) is the
   exception, as its halo grows.
3. Two stores of one operand with no loop between that moves it hold the same tile; then the outer
   one is only cost. (Unless it is the one that feeds the array's registers: it has to be there.)
4. Two neighbouring stores may change places where the loops that may stand between them do not move
   the inner one's operand; one of the two orders is enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from inferstack.cost.access import stationary
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction, Operand
from inferstack.schedule.nests.shared import Shared, shared


@dataclass(frozen=True, slots=True)
class Event:
    """A store of an operand in a level (at, None for the array's registers), or a fan-out.

    operand: index in the contraction; -1 for a fan-out, whose index is `at`.
    """

    operand: int
    at: int | None


Skeleton = tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """What moves what. moves: names of dimensions by operand. sliding: those of them that share an
    affine index with another dimension, where tiles overlap."""

    moves: tuple[frozenset[str], ...]
    sliding: tuple[frozenset[str], ...]

    def may_stand_below(
        self, operand: int, following: int | None, dims: frozenset[str]
    ) -> set[str]:
        """Dimensions whose loops may stand between a store of `operand` and one of `following`.

        following: None where no other store comes. A sliding dimension that does not move the
        operand that follows goes below that store too.
        """
        free = {dim for dim in dims if dim not in self.moves[operand]}
        slides = self.sliding[operand] & dims
        if following is not None:
            slides &= self.moves[following]
        return free | slides


def movement(contraction: Contraction) -> Movement:
    """The movement of a contraction's operands. Dimensions of size 1 move nothing."""
    extents = contraction.extents
    moves, sliding = [], []
    for operand in contraction.operands:
        moves.append(frozenset(dim for dim in operand.dims if extents[dim] > 1))
        pairs = (own.dims for own in shared_indices(operand, extents) if len(own.dims) > 1)
        sliding.append(frozenset(dim for dims in pairs for dim in dims))
    return Movement(moves=tuple(moves), sliding=tuple(sliding))


def shared_indices(operand: Operand, extents: dict[str, int]) -> list[Shared]:
    """What dimensions share of an operand, index by index. DRAM alone leaves padding out.

    An index of terms each of which is larger than all smaller ones together has one value for each
    combination: its elements are a product, and its dimensions share nothing but padding.
    """
    indices = operand.indices
    if operand.origin is not None:
        indices = tuple(replace(index, size=None) for index in indices)
    return [found for index in indices if (found := shared(index, extents)) is not None]


def skeletons(contraction: Contraction, accelerator: Accelerator) -> Iterator[Skeleton]:
    """All canonical skeletons, in a fixed order."""
    moved = movement(contraction)
    dims = frozenset(name for name, extent in contraction.dims if extent > 1)
    for residency in residencies(contraction, accelerator):
        for skeleton in _interleaved(residency, accelerator, contraction):
            if not _redundant(skeleton, moved, dims):
                yield skeleton


def residencies(
    contraction: Contraction, accelerator: Accelerator
) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Levels of the stores of each operand, outer to inner.

    The innermost level that holds an operand always does, as it feeds the array; any level between
    it and the operand's origin may be skipped.
    """
    choices = list[list[tuple[int, ...]]]()
    for operand in contraction.operands:
        held = [
            at
            for at, level in enumerate(accelerator.levels)
            if at > operand.home(accelerator) and operand.role in level.holds
        ]
        if not held:
            # It is handed to the array from where it is.
            choices.append([()])
            continue
        between = held[:-1]
        choices.append(
            [
                (*kept, held[-1])
                for count in range(len(between), -1, -1)
                for kept in itertools.combinations(between, count)
            ]
        )
    yield from itertools.product(*choices)


def residency_of(skeleton: Skeleton, operands: int) -> tuple[tuple[int, ...], ...]:
    """Levels of the stores of each operand."""
    return tuple(
        tuple(e.at for e in skeleton if e.operand == operand and e.at is not None)
        for operand in range(operands)
    )


def all_skeletons(contraction: Contraction, accelerator: Accelerator) -> Iterator[Skeleton]:
    """Canonical or not."""
    for residency in residencies(contraction, accelerator):
        yield from _interleaved(residency, accelerator, contraction)


def _interleaved(
    residency: tuple[tuple[int, ...], ...], accelerator: Accelerator, contraction: Contraction
) -> Iterator[Skeleton]:
    """Every order of the stores that keeps each operand's own, and each on its side of fan-outs."""
    held = stationary(accelerator)
    chains: list[list[int | None]] = [list(levels) for levels in residency]
    for chain, operand in zip(chains, contraction.operands, strict=True):
        if operand.role is held:
            chain.append(None)
    bounds = [accelerator.index(fan_out.below) for fan_out in accelerator.fan_outs]
    limits = [*bounds, len(accelerator.levels)]
    groups: list[list[tuple[Event, ...]]] = []
    low = -1
    for number, limit in enumerate(limits):
        last = number == len(limits) - 1
        parts = [
            [Event(operand, at) for at in chain if (last if at is None else low < at <= limit)]
            for operand, chain in enumerate(chains)
        ]
        fan = () if last else (Event(-1, number),)
        groups.append([(*order, *fan) for order in _merged(parts)])
        low = limit
    for parts_of in itertools.product(*groups):
        yield tuple(event for part in parts_of for event in part)


def _merged(chains: list[list[Event]]) -> Iterator[tuple[Event, ...]]:
    left = [chain for chain in chains if chain]
    if not left:
        yield ()
        return
    for number, chain in enumerate(left):
        rest = [*left[:number], chain[1:], *left[number + 1 :]]
        for tail in _merged(rest):
            yield (chain[0], *tail)


def _redundant(skeleton: Skeleton, moved: Movement, dims: frozenset[str]) -> bool:
    """Whether rule 3 or 4 of the module strikes it out."""
    for outer, inner in itertools.pairwise(skeleton):
        if outer.at is None:
            dims -= moved.moves[outer.operand]
        if outer.operand < 0 or inner.operand < 0:
            continue
        between = moved.may_stand_below(outer.operand, inner.operand, dims)
        if between & moved.moves[inner.operand]:
            continue
        if outer.operand == inner.operand and inner.at is not None:
            return True
        if outer.operand > inner.operand:
            return True
    return False
