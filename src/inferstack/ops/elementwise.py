"""What functions of one element have in common: x of any shape to a result of the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, IterationSpace, Rule, simple


class ElementwiseRule(Rule):
    """A floating-point function of each element. flops: operations that one element counts."""

    work: ClassVar[Work] = Work.ACTIVATION
    required: ClassVar[tuple[str, ...]] = ("x",)
    flops: ClassVar[int]

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        return x.shape, x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element."""
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(simple("x", *names), simple(OUTPUT, *names)),
            flops_per_point=self.flops,
        )
