"""Groups of nodes that compute one thing, recognised by what they compute.

All of a value may go through one earlier value, by a few nodes: a GELU in eight of them, a norm in
nine. Such a region is run on random numbers, and what a form's operator gives for the same numbers
decides. So it does not matter how an exporter writes a GELU.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from inferstack.core.errors import CheckpointError
from inferstack.models.onnx.file import Node
from inferstack.models.onnx.handlers import forms
from inferstack.models.onnx.program import Kind, Program

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

LARGEST = 48
"""Nodes of a region."""
MOVES = frozenset(
    {"Slice", "Split", "Concat", "Reshape", "Transpose", "Unsqueeze", "Squeeze", "Flatten"}
    | {"Expand", "Gather"}
)
OPERATIONS = MOVES | frozenset(
    {"Add", "Sub", "Mul", "Div", "Neg", "Pow", "Sqrt", "Reciprocal", "Erf", "Tanh", "Sigmoid"}
    | {"Exp", "Cast", "Identity", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"}
    | {"ReduceSumSquare", "Clip", "Max", "Min", "Abs", "Where", "Equal", "Greater", "IsNaN"}
    | {"LpNormalization"}
)
ENDS = frozenset(
    {"Add", "Sub", "Mul", "Div", "Concat", "ReduceMean", "ReduceMax", "ReduceSum",
     "LpNormalization"}
)  # fmt: skip
TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a form has found. slots: of our operator, by the number of a region's constant.
    masked: whether the region's mask is its mask. ones: whether a gain of one is made."""

    form: Any
    kind: str
    says: Mapping[str, Any]
    slots: Mapping[str, int] = field(default_factory=dict)
    masked: bool = False
    ones: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """All of `end` follows from `x` by `nodes`, constants and masks."""

    program: Program
    end: str
    x: str
    nodes: tuple[int, ...]

    @cached_property
    def operations(self) -> frozenset[str]:
        """Kinds of its nodes."""
        return frozenset(self.program.nodes[number].kind for number in self.nodes)

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """Its constants, in the order in which its nodes read them."""
        return self._read(Kind.KNOWN)

    @cached_property
    def sides(self) -> tuple[str, ...]:
        """What of it follows from masks."""
        return self._read(Kind.SIDE)

    def _read(self, kind: Kind) -> tuple[str, ...]:
        facts = self.program.facts
        names = (n for number in sorted(self.nodes) for n in self.program.nodes[number].inputs if n)
        return tuple(dict.fromkeys(name for name in names if facts[name].kind is kind))

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one of its values, all of which have one."""
        found = self.program.facts[name].shape
        return () if found is None else found

    @property
    def scalars(self) -> list[tuple[int, float]]:
        """Constants that are one number, with their number."""
        return [
            (number, float(self.program.value(name).reshape(())))
            for number, name in enumerate(self.leaves)
            if all(size == 1 for size in self.shape(name))
        ]

    @property
    def vectors(self) -> list[int]:
        """Constants with one entry for each element of x's last axis."""
        width = self.shape(self.x)[-1:]
        return [
            number for number, name in enumerate(self.leaves)
            if width != (1,) and self.shape(name)[-1:] == width
            and all(size == 1 for size in self.shape(name)[:-1])
        ]  # fmt: skip

    @property
    def other_leaves(self) -> bool:
        """Whether it has constants that are no numbers and no vectors, counts and axes left out."""
        odd = len(self.leaves) - len(self.vectors) - len(self.scalars)
        return odd > sum(1 for name in self.leaves if self._counts(name))

    def _counts(self, name: str) -> bool:
        from inferstack.models.onnx.program import INTEGERS

        return self.program.facts[name].element in INTEGERS and len(self.shape(name)) == 1

    def run(self, x: Array, given: Mapping[str, Array]) -> Array | None:
        """The end for an x; None where the reference cannot."""
        fed = {self.x: x, **given}
        try:
            return self.program.evaluate(self.end, fed)
        except CheckpointError:
            return None

    @cached_property
    def signature(self) -> tuple[object, ...]:
        """Alike for regions that compute the same, whatever their vectors hold."""
        local: dict[str, int] = {self.x: -1}
        key: list[object] = [self.shape(self.x)]
        for number in sorted(self.nodes):
            node = self.program.nodes[number]
            reads = []
            for name in node.inputs:
                if name and name not in local:
                    local[name] = len(local)
                    key.append(self._leaf(name))
                reads.append(local.get(name, -2))
            for name in node.outputs:
                local[name] = len(local)
            says = repr(sorted((k, v) for k, v in node.attributes.items() if k != "value"))
            key.append((node.kind, tuple(reads), says))
        return (*key, local[self.end])

    def _leaf(self, name: str) -> object:
        fact = self.program.facts[name]
        if fact.kind is not Kind.KNOWN:
            return (fact.kind, fact.shape, tuple(sorted(fact.reads)))
        shape = self.shape(name)
        if sum(size != 1 for size in shape) == 1 and shape[-1] == self.shape(self.x)[-1]:
            return shape
        values = self.program.value(name)
        return (shape, zlib.crc32(values.tobytes()), values.dtype.str)


class Form(Protocol):
    """What a file of `forms/` offers."""

    @property
    def needs(self) -> frozenset[str]:
        """Kinds of which a region must have one."""

    def match(self, region: Region, recovery: Any) -> Match | None:
        """What the region is; None where it is something else."""

    def write(self, recovery: Any, node: Node, region: Region, match: Match) -> Any:
        """Our operator, as a view."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """A region that was recognised."""

    region: Region
    match: Match

    def write(self, recovery: Any, node: Node) -> Any:
        """Our operator, as a view."""
        return self.match.form.write(recovery, node, self.region, self.match)


class Regions:
    """Looks for them behind values, and remembers what regions alike are."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.seen: dict[tuple[object, ...], Match | None] = {}

    def recognised(self, name: str, recovery: Any) -> Found | None:
        """The largest region behind a value that a form recognises."""
        node = self.program.facts[name].node
        if node is None or self.program.nodes[node].kind not in ENDS:
            return None
        for region in reversed(list(self._regions(name))):
            match = self._match(region, recovery)
            if match is not None:
                return Found(region=region, match=match)
        return None

    def _match(self, region: Region, recovery: Any) -> Match | None:
        fitting = [form for form in forms() if form.needs & region.operations]
        if not fitting:
            return None
        key = region.signature
        if key not in self.seen:
            found = (form.match(region, recovery) for form in fitting)
            self.seen[key] = next((match for match in found if match is not None), None)
        return self.seen[key]

    def _regions(self, name: str) -> Iterator[Region]:
        """Regions that end in a value, the smallest first."""
        facts, nodes = self.program.facts, self.program.nodes
        frontier, taken = {name}, list[int]()
        while len(taken) < LARGEST:
            last = max(frontier, key=lambda one: -1 if (n := facts[one].node) is None else n)
            number = facts[last].node
            if number is None or nodes[number].kind not in OPERATIONS:
                return
            node = nodes[number]
            taken.append(number)
            frontier -= set(node.outputs)
            reads = [i for i in node.inputs if i and facts[i].kind is Kind.RUNTIME]
            if not reads or any(facts[i].shape is None for i in reads):
                return
            frontier |= set(reads)
            if len(frontier) == 1:
                (x,) = frontier
                yield Region(program=self.program, end=name, x=x, nodes=tuple(taken))


def close(a: Array | None, b: Array) -> bool:
    """Whether two results are the same but for rounding."""
    import numpy as np

    if a is None or a.shape != b.shape or not np.isfinite(a).all():
        return False
    return bool(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * max(1e-3, np.abs(b).max())))
