"""`Rule`: what a file in this folder says about one kind of operator.

FLOPs, bytes and loop dimensions follow from `IterationSpace`, and are typed nowhere else.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.core.errors import InputError
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.distinct import distinct_inside

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

CONTRACTION_LOOPS = ("batch", "g", "r", "m", "n", "k", "p", "q", "c", "s")
"""Names of the loops of what an array computes: matmuls m, n, k; attention's products with batch,
groups of heads g and heads of a group r; convolutions batch, g, n, p, q, c, r, s."""
OUTPUT = "out"
"""The slot name of an operator's result."""


@dataclass(frozen=True, slots=True)
class Affine:
    """offset + sum of coefficient * dimension: one index of a tensor access.

    size: of the tensor's axis, where the index may leave it: what lies outside is padding, of a
    result what nobody computes.
    """

    terms: tuple[tuple[str, int], ...]
    offset: int = 0
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How the iteration touches one tensor: `slot` of the operator, one index per tensor axis.

    With fewer indices than axes, the first index walks the leading axes as one: a matmul's m.
    """

    slot: str
    indices: tuple[Affine, ...]

    @property
    def dims(self) -> frozenset[str]:
        """The dimensions that move this access."""
        return frozenset(name for index in self.indices for name, _ in index.terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class IterationSpace:
    """The loops of an operator: `dims` (name, extent) and what each point reads, computes, writes.

    reductions: the dimensions summed over (k of a matmul). macs_per_point: 1 for contractions.
    flops_per_point: operations of a point that is no MAC (elementwise work, passes included).
    divides_rows: whether the sums are divided, row by row, before they leave.
    """

    dims: tuple[tuple[str, int], ...]
    accesses: tuple[Access, ...]
    reductions: frozenset[str] = frozenset()
    macs_per_point: int = 0
    flops_per_point: int = 0
    divides_rows: bool = False

    @property
    def points(self) -> int:
        """Number of points of the space, those left out that have no place in the result."""
        written = [access for access in self.accesses if access.slot == OUTPUT]
        return points_with_place(self.extents, *(access.indices for access in written))

    @property
    def extents(self) -> dict[str, int]:
        """Extent by dimension."""
        return dict(self.dims)

    def access(self, slot: str) -> Access:
        """The access of `slot`."""
        return next(access for access in self.accesses if access.slot == slot)


def points_with_place(extents: Mapping[str, int], *written: tuple[Affine, ...]) -> int:
    """Points of a box of loops, without those whose result would lie outside of its tensor.

    written: the indices of the result, of which no two steps outside the reductions are the same.
    """
    points = math.prod(extents.values())
    for index in itertools.chain(*written):
        if index.size is not None:
            terms = tuple((coefficient, extents[name]) for name, coefficient in index.terms)
            inside = distinct_inside(terms, index.offset, index.size)
            points = points // math.prod(extent for _, extent in terms) * inside
    return points


def simple(slot: str, *dims: str) -> Access:
    """An access whose every index is one dimension: simple("a", "m", "k")."""
    return Access(slot=slot, indices=tuple(Affine(((dim, 1),)) for dim in dims))


def spread(
    slot: str, names: tuple[str, ...], shape: tuple[int, ...], onto: tuple[int, ...]
) -> Access:
    """The access of an operand of `shape` that broadcasts to `onto`, whose axes are `names`.

    Along an axis over which it broadcasts, the same element is read again.
    """
    skipped = len(onto) - len(shape)
    axes = zip(names[skipped:], shape, onto[skipped:], strict=True)
    return Access(
        slot=slot,
        indices=tuple(Affine(((name, 1),) if own == out else ()) for name, own, out in axes),
    )


class Rule(ABC):
    """The semantics of one kind of operator. Stateless; one instance per kind, named RULE.

    required, optional: the input slots. `reference` computes in floating point; `integer_reference`
    is the one exact integer definition, with which simulator, RTL and exports agree bit for bit.
    """

    kind: ClassVar[str]
    work: ClassVar[Work]
    required: ClassVar[tuple[str, ...]]
    optional: ClassVar[tuple[str, ...]] = ()
    pairs: ClassVar[tuple[str, str] | None] = None
    """The dimensions (query, key) of which a causal mask leaves a triangle."""
    unit: ClassVar[str | None] = None
    """The kind whose unit computes this one too, at its cost, where a machine names none for it."""
    whole_rows: ClassVar[bool] = False
    """Whether each result needs its whole row of the last axis, which is then read again."""
    assumes: ClassVar[str | None] = None
    """What its loops take for granted of the data; every table that counts it says so."""

    @abstractmethod
    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the output. Raises InputError through `need` where inputs disagree."""

    @abstractmethod
    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """The iteration space."""

    @abstractmethod
    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """The result in floating point, in the precision of the inputs."""

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """The exact integer result; only for kinds that have an integer form."""
        raise InputError(self.kind, "this operator has no integer form")

    def is_integer(self, inputs: Mapping[str, Tensor], output: Tensor) -> bool:
        """Whether the exact integer definition applies: first operand and result are integer."""
        main = inputs[self.required[0]]
        return main.dtype.is_integer and output.dtype.is_integer

    def need(self, condition: bool, operator: str, got: object, need: object) -> None:
        """Raise when shapes or types disagree."""
        if not condition:
            raise InputError(
                f"operator {operator}", f"{self.kind} does not apply", got=got, need=need
            )
