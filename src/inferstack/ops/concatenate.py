"""a (..., n) and b (..., m) side by side along the last axis: (..., n + m). No integer form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, Access, Affine, IterationSpace, Rule, simple

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class ConcatenateRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "concatenate"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("a", "b")

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        a, b = inputs["a"], inputs["b"]
        fits = len(a.shape) >= 1 and a.shape[:-1] == b.shape[:-1] and a.dtype is b.dtype
        self.need(fits and not a.dtype.is_integer, a.name, b.shape, (*a.shape[:-1], "any"))
        return (*a.shape[:-1], a.shape[-1] + b.shape[-1]), a.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element of the result: a copy. Every operand is read once."""
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        before = tuple(Affine(((name, 1),)) for name in names[:-1])
        first, second = inputs["a"].shape[-1], inputs["b"].shape[-1]
        columns = {
            "a": Affine(((names[-1], 1),), size=first),
            "b": Affine(((names[-1], 1),), offset=-first, size=second),
        }
        reads = (Access(slot=slot, indices=(*before, at)) for slot, at in columns.items())
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(*reads, simple(OUTPUT, *names)),
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        return np.concatenate([inputs["a"], inputs["b"]], axis=-1)


RULE = ConcatenateRule()
