"""Random mappings, drawn uniformly over the valid mappings of the stated space.

What is uniform. A mapping is what `size` counts: a residency, an order of all stores (that into the
array's registers too), the steps of every dimension in every segment between them, and the extents
along the array's axes. Mappings are counted up to the order of loops between two stores; the nest
that stands for all of these orders is that of `build.mapping_of`, with the loops last that move the
operand of the next store. Valid is what fits (tiles in every level, extents along every axis), and
where no loop below the store into the registers moves their block, as they hold one. Every valid
mapping has the same probability, whatever it costs.

How. A skeleton is drawn with probability proportional to its number of mappings, the product over
dimensions of their chains; each chain uniformly, from the outside in, by the number of chains that
go on from each step. What does not fit is thrown away, so the rest stays uniform. Chains are drawn
by exact integers; the skeleton by floating-point shares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from inferstack.core.errors import InputError
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Mapping
from inferstack.mapping.shapes import check_sizes
from inferstack.schedule.nests.blocks import Planner
from inferstack.schedule.nests.build import mapping_of
from inferstack.schedule.nests.candidates import Route
from inferstack.schedule.nests.chains import Stage, multiples
from inferstack.schedule.nests.forms import Forms, forms
from inferstack.schedule.nests.scored import Batch, Figures
from inferstack.schedule.nests.skeleton import Skeleton, all_skeletons, residencies

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

LARGEST_COUNT = 2**62
"""Chains of one dimension: more cannot be drawn with 64 bits."""
ROUND = 1 << 15
"""Mappings drawn before it is seen which of them fit."""
MOST_ROUNDS = 1000


class Everywhere(Planner):
    """Routes of the whole space: any dimension may have a loop in any segment.

    But for loops below the array's registers that move what they hold.
    """

    def _route(self, dim: str, skeleton: Skeleton) -> Route:
        stages, segments = [Stage()], [-1]
        axes: list[tuple[int, int] | None] = [None]
        depths: list[list[int]] = [[] for _ in self.contraction.operands]
        held = False
        for number, event in enumerate(skeleton):
            if event.operand >= 0:
                depths[event.operand].append(len(stages))
                held |= event.at is None and dim in self.movement.moves[event.operand]
            else:
                assert event.at is not None, "a fan-out has a number"
                for place, axis in enumerate(self.accelerator.fan_outs[event.at].axes):
                    if dim in axis.dims:
                        stages.append(Stage(axis.size))
                        segments.append(number)
                        axes.append((event.at, place))
            if not held:
                stages.append(Stage())
                segments.append(number)
                axes.append(None)
        for operand, places in enumerate(depths):
            levels = sum(1 for e in skeleton if e.operand == operand and e.at is not None)
            if len(places) == levels:
                places.append(len(stages))
        return Route(
            dim=dim,
            stages=tuple(stages),
            segments=tuple(segments),
            axes=tuple(axes),
            depths=tuple(map(tuple, depths)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Links:
    """The steps of one stage, ascending, and how many chains go on from each.

    ends: running sum of `ways`, over all (step, next step), by step; first: where a step's begin.
    inner: the next step's index. The last stage's have no next: a link each, for itself.
    """

    steps: Integers
    first: Integers
    ends: Integers
    inner: Integers

    @property
    def ways(self) -> Integers:
        """Chains from each step inwards."""
        bounds = np.concatenate([[0], self.ends])[self.first]
        counted: Integers = np.diff(bounds)
        return counted


@lru_cache(maxsize=1024)
def _links(
    extent: int, stages: tuple[Stage, ...], side: int, perfect: bool, filled: bool
) -> tuple[_Links, ...]:
    """By stage, outermost first. All chains that `chains.count_chains` counts; filled: of these,
    the ones with the most elements side by side."""
    last = [e for e in range(1, min(extent, side) + 1) if not perfect or extent % e == 0]
    last = last[-1:] if filled else last
    steps = np.array(last, dtype=np.int64)
    own = np.arange(len(steps), dtype=np.int64)
    found = [_Links(steps=steps, first=np.append(own, len(own)), ends=own + 1, inner=own)]
    for stage in reversed(stages[1:]):
        found.append(_widened(extent, found[-1], stage, perfect))
    assert stages[0].size is None, "loops may stand above everything"
    return tuple(reversed(found))


def _widened(extent: int, inside: _Links, stage: Stage, perfect: bool) -> _Links:
    """The stage before: each step that is made of whole ones of `inside`."""
    outer, inner = [], []
    for number, step in enumerate(inside.steps.tolist()):
        allowed = np.array(multiples(-(-extent // step), perfect, True), dtype=np.int64)
        if stage.size is not None:
            allowed = allowed[allowed <= stage.size]
        outer.append(allowed * step)
        inner.append(np.full(len(allowed), number, dtype=np.int64))
    outers, inners = np.concatenate(outer), np.concatenate(inner)
    order = np.argsort(outers, kind="stable")
    steps, first = np.unique(outers[order], return_index=True)
    ways = inside.ways[inners[order]]
    if float(ways.astype(np.float64).sum()) > LARGEST_COUNT:
        raise InputError(
            "random mappings", "a dimension has too many chains of steps to draw from", got=extent
        )
    return _Links(
        steps=steps,
        first=np.append(first, len(outers)),
        ends=np.cumsum(ways),
        inner=inners[order],
    )


def _drawn(links: tuple[_Links, ...], many: int, generator: np.random.Generator) -> Integers:
    """(many, stages) of steps, each chain with the same probability."""
    outermost = links[0]
    at = np.searchsorted(
        np.cumsum(outermost.ways), generator.integers(0, outermost.ends[-1], many), side="right"
    )
    made = np.empty((many, len(links)), dtype=np.int64)
    for stage, here in enumerate(links):
        made[:, stage] = here.steps[at]
        if stage < len(links) - 1:
            bounds = np.concatenate([[0], here.ends])
            chosen = generator.integers(bounds[here.first[at]], bounds[here.first[at + 1]])
            at = here.inner[np.searchsorted(here.ends, chosen, side="right")]
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Valid mappings, in the order in which they were drawn, and what they cost.

    skeletons: index of each one's. steps: (mappings, dimensions, stages), 0 beyond a dimension's
    last stage. drawn: how many were looked at for these, those that do not fit included.
    """

    skeletons: Integers
    steps: Integers
    figures: Figures
    drawn: int

    def __len__(self) -> int:
        return len(self.skeletons)


class Sampler:
    """Draws mappings of one contraction on one machine.

    perfect: only steps that divide. filled: only the most elements of every dimension side by side
    in the array; a smaller space, uniform as well.

    size: the mappings that are drawn from, valid or not. That is the space of `size.space_size`
    without those that move the block in the array's registers from below their store.
    """

    def __init__(
        self, contraction: Contraction, accelerator: Accelerator, *, perfect: bool, filled: bool
    ) -> None:
        check_sizes(contraction)
        self.filled = filled
        self.planner = Everywhere(contraction, accelerator, perfect)
        self.skeletons: tuple[Skeleton, ...] = tuple(all_skeletons(contraction, accelerator))
        self.sizes = [
            math.prod(int(self._links(dim, skeleton)[0].ends[-1]) for dim in self.planner.extents)
            for skeleton in self.skeletons
        ]
        self.size = sum(self.sizes)
        self.most_stages = max(
            len(self.planner.route(dim, skeleton).stages)
            for dim in self.planner.extents
            for skeleton in self.skeletons
        )
        self.forms: dict[tuple[tuple[int, ...], ...], Forms] = {
            residency: forms(contraction, accelerator, residency)
            for residency in residencies(contraction, accelerator)
        }

    def _links(self, dim: str, skeleton: Skeleton) -> tuple[_Links, ...]:
        planner = self.planner
        stages = planner.route(dim, skeleton).stages
        side = planner.side(dim)
        return _links(planner.extents[dim], stages, side, planner.perfect, self.filled)

    def draw(self, count: int, seed: int) -> Sample:
        """The first `count` valid mappings of a random sequence: independent, and uniform.

        Raises InputError where next to nothing that is drawn fits.
        """
        generator = np.random.default_rng(seed)
        shares = np.array([size / self.size for size in self.sizes])
        parts, found, drawn = list[Sample](), 0, 0
        while found < count:
            if len(parts) == MOST_ROUNDS:
                raise InputError(
                    f"random mappings of {self.planner.contraction.name}",
                    "too few of the mappings fit",
                    got=f"{found:,} of {drawn:,}",
                    need=f"{count:,}",
                )
            part = self._round(generator, shares / shares.sum(), count - found)
            parts.append(part)
            found, drawn = found + len(part), drawn + part.drawn
        return Sample(
            skeletons=np.concatenate([part.skeletons for part in parts]),
            steps=np.concatenate([part.steps for part in parts]),
            figures=Figures(
                **{
                    name: np.concatenate([getattr(part.figures, name) for part in parts])
                    for name in ("energy_pj", "cycles", "dram_bytes")
                }
            ),
            drawn=drawn,
        )

    def _round(
        self, generator: np.random.Generator, shares: npt.NDArray[np.float64], wanted: int
    ) -> Sample:
        """Of one round, the first valid ones: as many as are wanted, or all."""
        chosen = generator.choice(len(self.skeletons), size=ROUND, p=shares)
        extents = self.planner.extents
        steps = np.zeros((ROUND, len(extents), self.most_stages), dtype=np.int64)
        fits = np.zeros(ROUND, dtype=np.bool_)
        groups = [(number, np.flatnonzero(chosen == number)) for number in np.unique(chosen)]
        for number, rows in groups:
            batch = self._batch(number, len(rows), generator)
            for place, dim in enumerate(extents):
                own = batch.steps[dim]
                steps[rows, place, : own.shape[1]] = own
            fits[rows] = batch.fits()
        valid = np.flatnonzero(fits)[:wanted]
        # Looked at: up to the last one that is taken.
        drawn = int(valid[-1]) + 1 if len(valid) == wanted else ROUND
        return Sample(
            skeletons=chosen[valid],
            steps=steps[valid],
            figures=self.figures(chosen[valid], steps[valid]),
            drawn=drawn,
        )

    def _batch(self, number: int, many: int, generator: np.random.Generator) -> Batch:
        skeleton = self.skeletons[number]
        return Batch(
            self.planner,
            skeleton,
            {
                dim: _drawn(self._links(dim, skeleton), many, generator)
                for dim in self.planner.extents
            },
        )

    def figures(self, skeletons: Integers, steps: Integers) -> Figures:
        """What mappings cost, as `cost.cost` of `mapping` says."""
        found = {name: np.empty(len(skeletons)) for name in ("energy_pj", "cycles", "dram_bytes")}
        for number in np.unique(skeletons):
            rows, skeleton = np.flatnonzero(skeletons == number), self.skeletons[number]
            own = {
                dim: steps[rows, place, : len(self.planner.route(dim, skeleton).stages)]
                for place, dim in enumerate(self.planner.extents)
            }
            batch = Batch(self.planner, skeleton, own)
            made = batch.figures(self.forms[batch.levels])
            for name, figure in found.items():
                figure[rows] = getattr(made, name)
        return Figures(**found)

    def mapping(self, sample: Sample, number: int) -> Mapping:
        """The nest of one of a sample's mappings."""
        skeleton = self.skeletons[sample.skeletons[number]]
        own = {
            dim: tuple(
                sample.steps[
                    number, place, : len(self.planner.route(dim, skeleton).stages)
                ].tolist()
            )
            for place, dim in enumerate(self.planner.extents)
        }
        return mapping_of(self.planner, skeleton, own)
