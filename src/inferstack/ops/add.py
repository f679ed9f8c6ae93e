"""a + b, b broadcasting to a.

Integer: int32, each side rescaled where it has tables (docs/integer.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, IterationSpace, Rule, simple, spread

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class AddRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "add"
    work: ClassVar[Work] = Work.RESIDUAL_ADD
    required: ClassVar[tuple[str, ...]] = ("a", "b")
    optional: ClassVar[tuple[str, ...]] = ("a_multiplier", "a_shift", "b_multiplier", "b_shift")

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        a, b = inputs["a"], inputs["b"]
        ends = zip(reversed(a.shape), reversed(b.shape), strict=False)
        fits = len(b.shape) <= len(a.shape) and all(own in (1, onto) for onto, own in ends)
        self.need(fits, a.name, b.shape, f"a shape that broadcasts to {a.shape}")
        return a.shape, DType.INT32 if a.dtype.is_integer else a.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element of the result."""
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        accesses = [spread(slot, names, inputs[slot].shape, output.shape) for slot in "ab"]
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(*accesses, simple(OUTPUT, *names)),
            flops_per_point=1,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        return inputs["a"] + inputs["b"]

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """int32 sum."""
        from inferstack.ops.kernels import reference

        return reference.add(inputs)


RULE = AddRule()
