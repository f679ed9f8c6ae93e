"""A mapping of ours as Timeloop's directives: a level for each store, loops in between.

A directive's permutation names its loops from the inside out. Where a dimension does not divide,
Timeloop's factor has a second number, the steps of the last pass: possible at a dimension's
outermost loop alone.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from inferstack.core.errors import InputError
from inferstack.core.units import ceil_div
from inferstack.cost.access import stationary
from inferstack.exchange.document import Row, document
from inferstack.exchange.format import (
    Passage,
    check_homes,
    check_mapping,
    check_one_instance,
    moving_dims,
    placed,
    register_depth,
)
from inferstack.hardware.accelerator import Accelerator, Level
from inferstack.mapping import legality
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Mapping, Spatial

TOOL = "Timeloop (master, March 2025)"
REGISTER = "register"


@dataclass(frozen=True, slots=True)
class Place:
    """A level of Timeloop's, below the first `depth` loops: what it keeps, and where."""

    name: str
    level: Level
    slots: tuple[str, ...]
    depth: int


def letters(dims: Iterable[str]) -> dict[str, str]:
    """A capital letter for each dimension: its own where that is free."""
    found: dict[str, str] = {}
    for name in dims:
        wanted = (*name.upper(), *string.ascii_uppercase)
        found[name] = next(
            letter for letter in wanted if letter.isalpha() and letter not in found.values()
        )
    return found


def places_of(mapping: Mapping, contraction: Contraction, accelerator: Accelerator) -> list[Place]:
    """One level for each store, in the order of the mapping. Raises InputError."""
    check_mapping(mapping, TOOL)
    legality.checked(mapping, contraction, accelerator)
    loops, stores = placed(mapping, contraction, accelerator)
    register = register_depth(loops, stores, contraction, accelerator)
    inside = [store for depth, store in stores if depth > register]
    if inside:
        raise InputError(
            f"mapping of {mapping.operator}",
            "Timeloop cannot put a memory inside of the array's registers",
            got=f"the tile of {inside[0].slot} in {inside[0].level}",
        )
    return [
        Place(f"{store.level}_{store.slot}", accelerator.level(store.level), (store.slot,), depth)
        for depth, store in sorted(stores, key=lambda placed: placed[0])
    ]


def mapping_text(mapping: Mapping, contraction: Contraction, accelerator: Accelerator) -> str:
    """The directives. Raises InputError for what cannot be said."""
    check_one_instance(accelerator, TOOL)
    check_homes(accelerator, contraction, TOOL)
    places = places_of(mapping, contraction, accelerator)
    loops, stores = placed(mapping, contraction, accelerator)
    register = register_depth(loops, stores, contraction, accelerator)
    kept = moving_dims(contraction)
    letter = letters(kept)
    dram = accelerator.levels[0]
    slots = [operand.slot for operand in contraction.operands]
    factors = _Factors(mapping, contraction)
    names = [dram.name, *(place.name for place in places)]
    depths = [0, *(place.depth for place in places), register]
    directives: list[dict[str, Any]] = []
    for at, name in enumerate(names):
        own = loops[depths[at] : depths[at + 1]]
        directives.append(factors.temporal(name, own, kept, letter))
    directives.append(factors.spatial(names[-1], kept, letter))
    if stationary(accelerator) is not None:
        directives.append(factors.temporal(REGISTER, loops[register:], kept, letter))
    for place in places:
        directives.append(_bypass(place.name, place.slots, slots))
    held = stationary(accelerator)
    if held is not None:
        directives.append(_bypass(REGISTER, (contraction.by_role(held).slot,), slots))
    remarks = [f"{mapping.operator} on {accelerator.name}, written by InferStack for {TOOL}."]
    return document({"mapping": directives}, remarks)


def _bypass(name: str, own: Sequence[str], slots: Sequence[str]) -> dict[str, Any]:
    others = Row(slot for slot in slots if slot not in own)
    return {"target": name, "type": "bypass", "keep": Row(own), "bypass": others}


class _Factors:
    """Steps of each loop, and those of the last pass, from the outside in."""

    def __init__(self, mapping: Mapping, contraction: Contraction) -> None:
        self.mapping, self.contraction = mapping, contraction
        self.chunk = contraction.extents
        self.left = {name: extent - 1 for name, extent in contraction.dims}

    def temporal(
        self, target: str, loops: Sequence[Passage], kept: dict[str, int], letter: dict[str, str]
    ) -> dict[str, Any]:
        """A directive with all dimensions."""
        steps = {loop.dim: loop.step for loop in loops}
        if len(steps) < len(loops):
            raise InputError(
                f"mapping of {self.mapping.operator}",
                "Timeloop gives a dimension one loop at a level",
                got=f"two over one dimension below {target}",
            )
        inner = [loop.dim for loop in reversed(loops)]
        order = [*inner, *(name for name in kept if name not in inner)]
        return {
            "target": target,
            "type": "temporal",
            "factors": self._written({name: steps.get(name) for name in kept}, letter),
            "permutation": "".join(letter[name] for name in order),
        }

    def spatial(self, target: str, kept: dict[str, int], letter: dict[str, str]) -> dict[str, Any]:
        """The directive of the array: columns along X, rows along Y."""
        axes = {n.dim: n.axis for n in self.mapping.nodes if isinstance(n, Spatial)}
        across = [name for name in kept if axes.get(name) != "row"]
        down = [name for name in kept if axes.get(name) == "row"]
        steps = {name: 1 if name in axes else None for name in kept}
        return {
            "target": target,
            "type": "spatial",
            "factors": self._written(steps, letter),
            "permutation": "".join(letter[name] for name in (*across, *down)),
            "split": len(across),
        }

    def _written(self, steps: dict[str, int | None], letter: dict[str, str]) -> str:
        return " ".join(f"{letter[name]}={self._factor(name, s)}" for name, s in steps.items())

    def _factor(self, name: str, step: int | None) -> str:
        """Steps of a loop over what is left of a dimension; with another last pass, that too."""
        chunk = self.chunk[name]
        if step is None:
            return "1"
        if chunk % step and chunk != self.contraction.extents[name]:
            raise InputError(
                f"mapping of {self.mapping.operator}",
                "Timeloop takes a remainder at a dimension's outermost loop alone",
                got=f"steps of {step} in {chunk} of {name}",
            )
        self.chunk[name] = step
        last, self.left[name] = divmod(self.left[name], step)
        trips = ceil_div(chunk, step)
        return f"{trips}" if last == trips - 1 else f"{trips},{last + 1}"
