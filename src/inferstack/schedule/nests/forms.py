"""Energy, DRAM bytes and port cycles of a residency, as sums of products over the dimensions.

`sequencer.Tally` does the arithmetic, once: there with numbers, here with unknowns. A `Term` is one
count of `sequencer`, whose value is a product over dimensions (`blocks` has the factors).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inferstack.cost.access import ARRAY, stationary
from inferstack.cost.sequencer import (
    Count,
    Flow,
    Tally,
    hands_on_results,
    limiting_levels,
    loads_take_time,
)
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.mapping.contraction import Contraction

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

ENERGY, DRAM, FIRST_PORT = 0, 1, 2
"""Rows of `Forms.factors`; the ports follow."""


@dataclass(frozen=True, slots=True)
class Term:
    """A count of one operand at one of its places (the last is the array), or the array's steps.

    operand: -1 for the steps. tiles: whether tiles count, not elements. moved, around: by fan-out,
    whether all instances count, or the first alone, for dimensions that move the operand and for
    others. axes: those whose places multiply the count (see `sharing`). stored: without padding.
    """

    operand: int
    place: int
    tiles: bool
    moved: tuple[bool, ...]
    around: tuple[bool, ...]
    axes: tuple[int, ...] = ()
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Linear:
    """A sum of terms times factors, and of a constant (term None)."""

    parts: dict[Term | None, float] = field(default_factory=dict)

    def __add__(self, other: Linear | float) -> Linear:
        made = dict(self.parts)
        added = other.parts if isinstance(other, Linear) else {None: other}
        for term, factor in added.items():
            made[term] = made.get(term, 0) + factor
        return Linear({term: factor for term, factor in made.items() if factor})

    __radd__ = __add__

    def __mul__(self, factor: float) -> Linear:
        return Linear({term: own * factor for term, own in self.parts.items()})

    __rmul__ = __mul__

    def __sub__(self, other: Linear | float) -> Linear:
        return self + other * -1

    def __rsub__(self, other: float) -> Linear:
        return self * -1 + other


@dataclass(frozen=True, kw_only=True)
class Forms:
    """factors: (forms, terms), constants: (forms,), as `ENERGY`, `DRAM`, `FIRST_PORT` say."""

    terms: tuple[Term, ...]
    factors: Floats
    constants: Floats

    @cached_property
    def sparse(self) -> tuple[Integers, Integers, Floats]:
        """Of the factors that are not 0: where each form's begin, the term of each, the factor."""
        import numpy as np

        rows, which = np.nonzero(self.factors)
        starts = np.searchsorted(rows, np.arange(len(self.factors) + 1))
        return starts, which, self.factors[rows, which]

    @property
    def plain(self) -> int:
        """The terms that cost something themselves; bounds follow."""
        return sum(1 for term in self.terms if not term.axes)


def forms(
    contraction: Contraction, accelerator: Accelerator, residency: tuple[tuple[int, ...], ...]
) -> Forms:
    """The forms of mappings in which each operand lives in these levels."""
    import numpy as np

    pairs = [
        (flow, *_counts(flow, operand, place, contraction, accelerator))
        for operand, levels in enumerate(residency)
        for place, flow in enumerate(_flows(contraction, accelerator, operand, levels))
    ]
    total, busiest = Tally(contraction, accelerator), Tally(contraction, accelerator)
    total.add([(flow, count) for flow, count, _ in pairs])
    busiest.add([(flow, count) for flow, _, count in pairs])
    rows = [_energy(total, contraction, accelerator)]
    dram = accelerator.levels[0].name
    rows.append(
        sum((v for t in (total.reads, total.writes) for (n, _), v in t.items() if n == dram),
            Linear()) * (1 / 8)
    )  # fmt: skip
    rows += _ports(busiest, contraction, accelerator, residency)
    terms = tuple(dict.fromkeys(t for row in rows for t in row.parts if t is not None))
    factors = np.array([[row.parts.get(t, 0.0) for t in terms] for row in rows])
    assert factors.min() >= 0, "every count costs something"
    return Forms(
        terms=terms,
        factors=factors.reshape(len(rows), len(terms)),
        constants=np.array([float(row.parts.get(None, 0.0)) for row in rows]),
    )


def _flows(
    contraction: Contraction, accelerator: Accelerator, operand: int, levels: tuple[int, ...]
) -> list[Flow]:
    """The flows between the operand's places, without counts."""
    of = contraction.operands[operand]
    names = [accelerator.levels[at].name for at in (of.home(accelerator), *levels)] + [ARRAY]
    nothing = Count(outer=0, inner=0, outer_once=0, inner_once=0)
    return [
        Flow(
            slot=of.slot,
            role=of.role,
            outer=outer,
            inner=inner,
            transfers=0,
            total=nothing,
            busiest=nothing,
            final=hands_on_results(outer, accelerator),
        )
        for outer, inner in itertools.pairwise(names)
    ]


def _counts(
    flow: Flow, operand: int, place: int, contraction: Contraction, accelerator: Accelerator
) -> tuple[Count, Count]:
    """The unknown counts of a flow, in all and of the busiest instance, as `_Walk._count`."""
    of = contraction.operands[operand]
    bounds = [accelerator.index(fan_out.below) for fan_out in accelerator.fan_outs]
    at = accelerator.index(flow.outer)
    inside = len(accelerator.levels) if flow.inner == ARRAY else accelerator.index(flow.inner)
    outside = [at > bound for bound in bounds]
    above = [inside > bound for bound in bounds]
    stored = at == 0 and any(index.size is not None for index in of.indices)
    output = of.role is Role.OUTPUT
    once = of.elements(contraction.extents) if output else 0
    results = of.results(contraction.extents) if output and at == 0 else once
    made = []
    for every in (True, False):
        near = tuple(a and (not o or every) for o, a in zip(outside, above, strict=True))
        around = tuple(o and every for o in outside)
        inner = tuple(a and every for a in above)
        made.append(
            Count(
                outer=_term(operand, place, near, around, contraction, accelerator, stored=stored),
                inner=_term(operand, place, inner, inner, contraction, accelerator),
                # Where instances hand on sums, what is counted once has no part in any form.
                outer_once=results,
                inner_once=once,
            )
        )
    return made[0], made[1]


def _term(
    operand: int,
    place: int,
    moved: tuple[bool, ...],
    around: tuple[bool, ...],
    contraction: Contraction,
    accelerator: Accelerator,
    tiles: bool = False,
    stored: bool = False,
) -> Any:
    """The unknown itself; flags of fan-outs along which nothing of the kind can run are dropped."""
    own = contraction.operands[operand].dims if operand >= 0 else frozenset()
    extents = contraction.extents
    usable = [
        {d for axis in fan_out.axes for d in axis.dims if extents.get(d, 1) > 1}
        for fan_out in accelerator.fan_outs
    ]
    return Linear(
        {
            Term(
                operand,
                place,
                tiles,
                tuple(m and bool(u & own) for m, u in zip(moved, usable, strict=True)),
                tuple(a and bool(u - own) for a, u in zip(around, usable, strict=True)),
                stored=stored,
            ): 1
        }
    )


def _energy(total: Tally, contraction: Contraction, accelerator: Accelerator) -> Linear:
    energy = Linear({None: contraction.macs * accelerator.array.mac_pj})
    for (name, _), bits in total.reads.items():
        energy += bits * (accelerator.level(name).read_pj_per_byte / 8)
    for (name, _), bits in total.writes.items():
        energy += bits * (accelerator.level(name).write_pj_per_byte / 8)
    return energy


def _ports(
    busiest: Tally,
    contraction: Contraction,
    accelerator: Accelerator,
    residency: tuple[tuple[int, ...], ...],
) -> list[Linear]:
    """Cycles of the array, of its loads, and of every port, as in `sequencer_cost`."""
    first = tuple(False for _ in accelerator.fan_outs)
    rows = [_term(-1, 0, first, first, contraction, accelerator)]
    held = stationary(accelerator)
    for operand, levels in enumerate(residency):
        if contraction.operands[operand].role is held and loads_take_time(accelerator):
            place = len(levels)
            loads = _term(operand, place, first, first, contraction, accelerator, tiles=True)
            rows.append(loads * accelerator.array.pass_cycles)
    for level in limiting_levels(accelerator):
        reads, writes = (
            sum((bits for (name, _), bits in side.items() if name == level.name), Linear())
            for side in (busiest.reads, busiest.writes)
        )
        if level.shared_port:
            rows.append((reads + writes) * (1 / 8 / level.read_bytes_per_cycle))
        else:
            rows.append(reads * (1 / 8 / level.read_bytes_per_cycle))
            rows.append(writes * (1 / 8 / level.write_bytes_per_cycle))
    return rows
