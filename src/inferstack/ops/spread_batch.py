"""The same rows for every sentence: x (rows, d), like (batch, ...) -> (batch, rows, d).

Of `like` the first axis alone counts. No integer form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, IterationSpace, Rule, simple

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class SpreadBatchRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "spread_batch"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x", "like")

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        self.need(len(x.shape) == 2, x.name, x.shape, "(rows, d)")
        return (inputs["like"].shape[0], *x.shape), x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element of the result, a copy."""
        names = ("d0", "d1", "d2")
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(simple("x", *names[1:]), simple(OUTPUT, *names)),
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        x = inputs["x"]
        return x[None].repeat(len(inputs["like"]), axis=0)


RULE = SpreadBatchRule()
