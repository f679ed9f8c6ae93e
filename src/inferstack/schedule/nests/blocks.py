"""Blocks: dimensions that are chosen together, with what each choice of their chains is worth.

Every term, tile and axis is a product over blocks. A block is one dimension, or two that share an
affine index (p and r of a convolution), or all that move the same operands and overlap with
nothing (p and q of a 1x1 convolution): their candidates are combined. Of candidates, those remain
that no other one matches or beats in everything.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from inferstack.core.errors import InputError
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.schedule.nests.candidates import ARRAY_AXES, Candidates, Draft, Frame, Route
from inferstack.schedule.nests.chains import Stage, chains
from inferstack.schedule.nests.forms import Term
from inferstack.schedule.nests.skeleton import Skeleton, movement, shared_indices

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from inferstack.schedule.nests.values import Known

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]


class Planner:
    """Blocks and candidates of one contraction on one machine, for every skeleton."""

    def __init__(self, contraction: Contraction, accelerator: Accelerator, perfect: bool) -> None:
        self.contraction, self.accelerator, self.perfect = contraction, accelerator, perfect
        self.movement = movement(contraction)
        extents = {name: extent for name, extent in contraction.dims if extent > 1}
        self.extents = extents or dict(contraction.dims[:1])
        array = accelerator.array
        self.axes = [(array.rows, array.row_dims), (array.columns, array.column_dims)]
        self.axes += [(a.size, a.dims) for f in accelerator.fan_outs for a in f.axes]
        self.shared = tuple(
            tuple(shared_indices(operand, contraction.extents)) for operand in contraction.operands
        )
        self.groups, self.every = self._groups()
        self.frame = Frame(
            extents=self.extents,
            movement=self.movement,
            shared=self.shared,
            axes=tuple(self.axes),
            fan_axes=tuple(
                (fan, place)
                for fan, fan_out in enumerate(accelerator.fan_outs)
                for place in range(len(fan_out.axes))
            ),
            contested=tuple(self._contested(axis) for axis in range(len(self.axes))),
        )
        self.twins = self._twins()
        self.routes: dict[tuple[str, Skeleton], Route] = {}
        self.known: dict[object, list[Draft]] = {}
        self.of_chains: dict[object, Known] = {}

    def _contested(self, axis: int) -> bool:
        """Whether what one dimension takes of an axis may be more than others leave, or than it
        has: one that may lie along rows and columns."""
        size, dims = self.axes[axis]
        own = [dim for dim in dims if dim in self.extents]
        return len(own) > 1 or (axis < ARRAY_AXES and any(self.side(dim) > size for dim in own))

    def _groups(self) -> tuple[list[tuple[str, ...]], set[str]]:
        """Dimensions that share an index, and alone; those that need every multiple."""
        groups, every = list[tuple[str, ...]](), set[str]()
        for own in itertools.chain.from_iterable(self.shared):
            if len(own.dims) > 2:
                raise InputError(
                    f"operator {self.contraction.name}",
                    "an index over more than two overlapping dimensions has no exact search",
                    got=" and ".join(own.dims),
                )
            if len(own.dims) == 2:
                if own.dims not in groups:
                    groups.append(own.dims)
                every |= own.irregular
        taken = {name for names in groups for name in names}
        groups += [(name,) for name in self.extents if name not in taken]
        return groups, every

    def route(self, dim: str, skeleton: Skeleton) -> Route:
        """Where loops over a dimension, and instances along it, may stand."""
        if (dim, skeleton) not in self.routes:
            self.routes[dim, skeleton] = self._route(dim, skeleton)
        return self.routes[dim, skeleton]

    def _route(self, dim: str, skeleton: Skeleton) -> Route:
        stages, segments = [Stage()], [-1]
        axes: list[tuple[int, int] | None] = [None]
        depths: list[list[int]] = [[] for _ in self.contraction.operands]
        free = frozenset(self.extents)
        last: int | None = None
        for number, event in enumerate(skeleton):
            following = skeleton[number + 1].operand if number + 1 < len(skeleton) else None
            if event.operand < 0:
                assert event.at is not None, "a fan-out has a number"
                for place, axis in enumerate(self.accelerator.fan_outs[event.at].axes):
                    if dim in axis.dims:
                        stages.append(Stage(axis.size))
                        segments.append(number)
                        axes.append((event.at, place))
            else:
                depths[event.operand].append(len(stages))
                last = event.operand
                if event.at is None:
                    free -= self.movement.moves[event.operand]
            if following == -1 or last is None:
                continue
            if dim in self.movement.may_stand_below(last, following, free):
                stages.append(Stage())
                segments.append(number)
                axes.append(None)
        for operand, places in enumerate(depths):
            levels = sum(1 for e in skeleton if e.operand == operand and e.at is not None)
            if len(places) == levels:
                depths[operand] = [*places, len(stages)]
        return Route(
            dim=dim,
            stages=tuple(stages),
            segments=tuple(segments),
            axes=tuple(axes),
            depths=tuple(map(tuple, depths)),
        )

    def _alone_at_sides(self, route: Route) -> bool:
        """Whether nothing but the array's steps depends on how much lies side by side."""
        sides = zip(self.axes[:ARRAY_AXES], self.frame.contested, strict=False)
        contested = any(wanted for (_, dims), wanted in sides if route.dim in dims)
        stores = [depths[:-1] for depths in route.depths]
        return not contested and all(
            depth < len(route.stages) for depths in stores for depth in depths
        )

    def side(self, dim: str) -> int:
        """Most elements of a dimension side by side in the array."""
        return max([1, *(size for size, dims in self.axes[:2] if dim in dims)])

    def halves(
        self, skeleton: Skeleton, terms: tuple[Term, ...], stores: tuple[tuple[int, int], ...]
    ) -> list[list[Draft]]:
        """By group, the candidates of each of its dimensions alone.

        Where two dimensions overlap, each has the other at its best for every figure: for the terms
        one tile that holds it whole, or the least share of an instance where the first alone
        counts; one element for the tiles.
        """
        routes = {dim: self.route(dim, skeleton) for dim in self.extents}
        found = list[list[Draft]]()
        for number, names in enumerate(self.groups):
            pair = tuple(routes[dim] for dim in names)
            key = (tuple((r.dim, r.stages, r.axes, r.depths) for r in pair), terms, stores)
            if number in self.twins:
                first = found[self.twins[number]]
                own = [replace(half, dims=(dim,)) for half, dim in zip(first, names, strict=True)]
            elif key in self.known:
                own = self.known[key]
            else:
                own = [self._half(pair, i, terms, stores) for i in range(len(pair))]
                self.known[key] = own
            found.append(own)
        return found

    def _half(
        self,
        routes: tuple[Route, ...],
        own: int,
        terms: tuple[Term, ...],
        stores: tuple[tuple[int, int], ...],
    ) -> Draft:
        import numpy as np

        from inferstack.schedule.nests.values import alone, drafted

        route = routes[own]
        widest = self._alone_at_sides(route)
        steps = chains(
            self.extents[route.dim],
            route.stages,
            self.side(route.dim),
            self.perfect,
            route.dim in self.every,
            widest,
        )
        key = (route.dim, route.stages, route.axes, widest)
        known = {route.dim: self.of_chains.setdefault(key, {})}
        if len(routes) == 1:
            return drafted(self.frame, routes, (steps,), (steps,), terms, stores, known)
        other = routes[1 - own]
        one = np.ones((1, len(other.stages)), dtype=np.int64)
        made = [
            drafted(
                self.frame,
                routes,
                (steps, share) if own == 0 else (share, steps),
                (steps, one) if own == 0 else (one, steps),
                terms,
                stores,
                known,
            )
            for share in self._shares(other)
        ]
        least = [np.min(columns, axis=0) for columns in zip(*(m.terms for m in made), strict=True)]
        beside = alone(self.frame, route, steps, terms, stores, known)
        return replace(made[0], dims=(route.dim,), rows=(steps,), terms=least, alone=beside)

    def _shares(self, route: Route) -> list[Integers]:
        """(1, stages) each: one tile that is whole, or spread as far as it goes along any axes.

        Of tiles that are counted, fewer and larger ones overlap less; so for each term the least is
        the one that is spread along just the axes of which the first instance counts alone, and
        whose places are not multiplied in (`sharing`).
        """
        import numpy as np

        extent = self.extents[route.dim]
        axes = [number for number, axis in enumerate(route.axes) if axis is not None]
        found = []
        for spread in itertools.product((False, True), repeat=len(axes)):
            sizes = [1] * len(route.stages)
            for number in itertools.compress(axes, spread):
                sizes[number] = route.stages[number].size or 1
            # Nested, as chains are: from the inside out.
            step = -(-extent // math.prod(sizes))
            steps = [step * math.prod(sizes[stage + 1 :]) for stage in range(len(sizes))]
            found.append(np.array([steps], dtype=np.int64))
        return found

    def _twins(self) -> dict[int, int]:
        """Groups that an earlier one is the mirror image of: p and r of q and s, where they are
        as large, move the same, and may lie along the same axes."""
        found: dict[int, int] = {}
        known: dict[object, int] = {}
        for number, names in enumerate(self.groups):
            slides = [
                [own.look for own in found if set(own.dims) & set(names)] for found in self.shared
            ]
            looks = [
                (
                    self.extents[dim],
                    tuple(dim in moves for moves in self.movement.moves),
                    tuple(dim in dims for _, dims in self.axes),
                    dim in self.every,
                )
                for dim in names
            ]
            key = (tuple(looks), repr(slides))
            if key in known:
                found[number] = known[key]
            else:
                known[key] = number
        return found

    def crossed(
        self,
        skeleton: Skeleton,
        first: Candidates,
        second: Candidates,
        terms: tuple[Term, ...],
        stores: tuple[tuple[int, int], ...],
    ) -> Candidates:
        """All pairs of the candidates of two dimensions that overlap."""

        from inferstack.schedule.nests.values import overlaps, values

        halves = (first, second)
        routes = [self.route(half.dims[0], skeleton) for half in halves]
        alone = [
            values(self.frame, (route,), half.rows, terms, stores)
            for route, half in zip(routes, halves, strict=True)
        ]
        made = together(alone[0], alone[1])
        # Where they overlap, the figure is no product of theirs, but that less some of others.
        over = [
            overlaps(self.frame, route, half.rows[0], terms, stores, {})
            for route, half in zip(routes, halves, strict=True)
        ]
        for number, figures in enumerate((made.terms, made.tiles)):
            for column, own in over[0][number].items():
                figures[:, column] -= (own.T @ over[1][number][column]).ravel()
        return made

    def kind(self, dims: tuple[str, ...]) -> object:
        """Equal for single dimensions that move the same operands; None for those that overlap."""
        if len(dims) > 1:
            return None
        return tuple(dims[0] in moves for moves in self.movement.moves)


def together(first: Candidates, second: Candidates) -> Candidates:
    """All pairs of the candidates of two blocks, as if they did not overlap."""
    import numpy as np

    def products(own: Floats, other: Floats) -> Floats:
        return (own[:, None] * other).reshape(len(own) * len(other), own.shape[1])

    return Candidates(
        dims=first.dims + second.dims,
        rows=(
            *(np.repeat(r, len(second), axis=0) for r in first.rows),
            *(np.tile(r, (len(first), 1)) for r in second.rows),
        ),
        terms=products(first.terms, second.terms),
        tiles=products(first.tiles, second.tiles),
        sides=products(first.sides, second.sides),
    )


def undominated(made: Candidates, plain: int) -> Candidates:
    """Those that no other one matches or beats in everything. plain: terms to compare."""
    import numpy as np

    from inferstack.schedule.nests.kernel import undominated as rows_undominated

    figures = made.alone
    if figures is None:
        figures = np.concatenate([made.terms[:, :plain], made.tiles, made.sides], axis=1)
    figures = figures[:, (figures != figures[:1]).any(axis=0)]
    order = np.lexsort((*figures.T[::-1], figures.prod(axis=1)))
    return made.rows_at(order[rows_undominated(np.ascontiguousarray(figures[order]))])
