"""The mean over height and width: x (batch, channels, height, width) -> (batch, channels)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, IterationSpace, Rule, simple

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class GlobalAveragePoolRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "global_average_pool"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x",)
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        self.need(len(x.shape) == 4, x.name, x.shape, "(batch, channels, height, width)")
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        return x.shape[:2], x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One addition per element of x; the division per channel is not counted."""
        dims = ("batch", "n", "p", "q")
        return IterationSpace(
            dims=tuple(zip(dims, inputs["x"].shape, strict=True)),
            accesses=(simple("x", *dims), simple(OUTPUT, "batch", "n")),
            reductions=frozenset({"p", "q"}),
            flops_per_point=1,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        result: Array = inputs["x"].mean(axis=(2, 3))
        return result


RULE = GlobalAveragePoolRule()
