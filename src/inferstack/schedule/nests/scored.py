"""Costs of many mappings of one skeleton at once: as `cost.cost`, by the forms of the search.

The search may count every load as the product of all loops above a store, since it walks canonical
skeletons only. Here any skeleton may come, so loops that do not move an operand count only where
they stand above the innermost loop that does, as in `sequencer`.
"""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inferstack.cost.access import stationary
from inferstack.hardware.accelerator import Role
from inferstack.mapping.legality import usable_bytes
from inferstack.schedule.nests.blocks import Planner
from inferstack.schedule.nests.candidates import Route
from inferstack.schedule.nests.forms import DRAM, ENERGY, FIRST_PORT, Forms, Term
from inferstack.schedule.nests.screen import SLACK
from inferstack.schedule.nests.skeleton import Skeleton
from inferstack.schedule.nests.values import values

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What each of many mappings costs: arrays of one length."""

    energy_pj: Floats
    cycles: Floats
    dram_bytes: Floats

    @property
    def edp(self) -> Floats:
        """pJ times cycles."""
        product: Floats = self.energy_pj * self.cycles
        return product


class Batch:
    """Mappings of one skeleton. steps: by dimension, (mappings, stages of its route)."""

    def __init__(
        self, planner: Planner, skeleton: Skeleton, steps: Dictionary[str, Integers]
    ) -> None:
        self.planner, self.skeleton, self.steps = planner, skeleton, steps
        self.routes = {dim: planner.route(dim, skeleton) for dim in planner.extents}
        self.many = len(next(iter(steps.values())))
        self.levels = tuple(
            tuple(e.at for e in skeleton if e.operand == operand and e.at is not None)
            for operand in range(len(planner.contraction.operands))
        )
        self.stores = tuple(
            (o, place) for o, own in enumerate(self.levels) for place in range(len(own))
        )
        self.spots = self._spots()

    def fits(self) -> Flags:
        """Which of them fit: tiles in every level, extents along every axis."""
        accelerator = self.planner.accelerator
        tiles = np.ones((self.many, len(self.stores)))
        limits = np.array(self.planner.frame.limits)
        sides = np.ones((self.many, len(limits)))
        # The array's steps: some term has to be asked for.
        first = tuple(False for _ in accelerator.fan_outs)
        any_term = (Term(-1, 0, False, first, first),)
        for dims in self.planner.groups:
            routes, steps = self._of(dims)
            made = values(self.planner.frame, routes, steps, any_term, self.stores)
            tiles *= made.tiles
            sides *= made.sides
        used = np.zeros((self.many, len(accelerator.levels)))
        for number, (operand, place) in enumerate(self.stores):
            of, at = self.planner.contraction.operands[operand], self.levels[operand][place]
            level = accelerator.levels[at]
            bits = level.partial_sum_bits if of.role is Role.OUTPUT else of.bits
            used[:, at] += np.ceil(tiles[:, number] * bits / 8)
        rooms = [usable_bytes(v, self.planner.contraction) for v in accelerator.levels]
        caps = [np.inf if room is None else room for room in rooms]
        over = (used > np.array(caps)).any(axis=1) | (sides > limits).any(axis=1)
        return np.asarray(~over)

    def figures(self, known: Forms) -> Figures:
        """What they cost. known: the forms of the skeleton's residency."""
        terms = np.ones((self.many, len(known.terms)))
        for operand in range(-1, len(self.planner.contraction.operands)):
            own = [number for number, term in enumerate(known.terms) if term.operand == operand]
            wanted = tuple(known.terms[number] for number in own)
            if not wanted:
                continue
            terms[:, own] = self._moved(operand, wanted)
            for number, term in zip(own, wanted, strict=True):
                terms[:, number] *= self._around(term)
        rows = terms @ known.factors.T + known.constants
        cycles = np.ceil(rows[:, FIRST_PORT:].max(axis=1) * (1 - SLACK))
        return Figures(
            energy_pj=rows[:, ENERGY],
            cycles=cycles + self.planner.accelerator.array.fill_cycles,
            dram_bytes=rows[:, DRAM],
        )

    def _of(self, dims: tuple[str, ...]) -> tuple[tuple[Route, ...], tuple[Integers, ...]]:
        return tuple(self.routes[d] for d in dims), tuple(self.steps[d] for d in dims)

    def _moved(self, operand: int, terms: tuple[Term, ...]) -> Floats:
        """Factors of the dimensions that move the operand; of the steps: of all dimensions."""
        moves = self.planner.movement.moves[operand] if operand >= 0 else frozenset(self.routes)
        made = np.ones((self.many, len(terms)))
        for dims in self.planner.groups:
            own = tuple(dim for dim in dims if dim in moves)
            if own:
                routes, steps = self._of(own)
                made *= values(self.planner.frame, routes, steps, terms, self.stores).terms
        return made

    def _around(self, term: Term) -> Floats:
        """Factor of the dimensions that do not move the term's operand: its passes over them."""
        made = np.ones(self.many)
        if term.operand < 0:
            return made
        moves = self.planner.movement.moves[term.operand]
        of = self.planner.contraction.operands[term.operand]
        streams = term.place == len(self.levels[term.operand])
        streams &= of.role is not stationary(self.planner.accelerator)
        kept = None if streams else self._kept(term)
        for dim, route in self.routes.items():
            if dim not in moves:
                depth = route.depths[term.operand][term.place]
                made *= self._passes(dim, depth, kept, term.around)
        return made

    def _spots(self) -> dict[tuple[int, str], int]:
        """Place in the nest of each (segment, dimension), as `build.mapping_of` orders loops."""
        found: dict[tuple[int, str], int] = {}
        for segment in range(-1, len(self.skeleton)):
            inner = (e.operand for e in self.skeleton[segment + 1 :] if e.operand >= 0)
            following = next(inner, None)
            moves = frozenset() if following is None else self.planner.movement.moves[following]
            for dim in sorted(self.routes, key=lambda dim: dim in moves):
                found[segment, dim] = len(found)
        return found

    def _kept(self, term: Term) -> Integers:
        """By mapping, the place in the nest of the innermost loop above the term's place that moves
        its operand, or where the instances around it begin, if that is further in."""
        innermost = self._launched(term)
        for dim in self.planner.movement.moves[term.operand] & self.routes.keys():
            route, chunk = self.routes[dim], np.full(self.many, self.planner.extents[dim])
            for stage in range(route.depths[term.operand][term.place]):
                step = self.steps[dim][:, stage]
                if route.axes[stage] is None:
                    spot = self.spots[route.segments[stage], dim]
                    np.maximum(innermost, np.where(step < chunk, spot, -1), out=innermost)
                chunk = np.minimum(chunk, step)
        return innermost

    def _launched(self, term: Term) -> Integers:
        """By mapping, the place in the nest where the instances around the term's place begin, or
        -1: what they hold does not outlast the loops above."""
        accelerator = self.planner.accelerator
        own, begins = self.levels[term.operand], np.full(self.many, -1, dtype=np.int64)
        at = own[term.place] if term.place < len(own) else len(accelerator.levels)
        for number, event in enumerate(self.skeleton):
            if event.operand >= 0 or event.at is None:
                continue
            below = accelerator.index(accelerator.fan_outs[event.at].below)
            if at <= below:
                continue
            outside = [
                place
                for place, e in enumerate(self.skeleton)
                if e.operand >= 0 and e.at is not None and e.at <= below
            ]
            last = self._begin(outside[-1]) if outside else -1
            spot = np.where(self._spreads(event.at), self._begin(number), last)
            np.maximum(begins, spot, out=begins)
        return begins

    def _begin(self, segment: int) -> int:
        """The first place in the nest of a segment."""
        return min(self.spots[segment, dim] for dim in self.routes)

    def _spreads(self, fan: int) -> Flags:
        """By mapping, whether a dimension lies along an axis of a fan-out."""
        found = np.zeros(self.many, dtype=np.bool_)
        for dim, route in self.routes.items():
            chunk = np.full(self.many, self.planner.extents[dim])
            for stage, axis in enumerate(route.axes):
                step = self.steps[dim][:, stage]
                if axis is not None and axis[0] == fan:
                    found |= step < chunk
                chunk = np.minimum(chunk, step)
        return found

    def _passes(
        self, dim: str, depth: int, kept: Integers | None, around: tuple[bool, ...]
    ) -> Integers:
        """Chunks below `depth` stages; of loops that stand below `kept`, the first step's alone."""
        route = self.routes[dim]
        size = np.full(self.many, self.planner.extents[dim], dtype=np.int64)
        count, rest = np.ones_like(size), np.zeros_like(size)
        for stage in range(depth):
            axis, step = route.axes[stage], np.minimum(self.steps[dim][:, stage], size)
            if axis is not None:
                every = np.full(self.many, around[axis[0]])
            elif kept is None:
                every = np.ones(self.many, dtype=np.bool_)
            else:
                every = self.spots[route.segments[stage], dim] < kept
            left = np.where(rest > 0, rest % step, size % step)
            whole = rest >= step
            rest, count = (
                np.where(every, left, np.where(whole, 0, rest)),
                np.where(every, count * (size // step) + rest // step, count + whole),
            )
            size = step
        return count + (rest > 0)
