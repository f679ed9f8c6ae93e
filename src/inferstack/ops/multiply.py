"""a * b, element by element, b broadcasting to a.

Integer: int8, each side first brought to 16 bits where it has tables; or, with attribute part, one
of the two int8 that make a product of 15 bits, 128 high + low (docs/integer.md).
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


class MultiplyRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "multiply"
    work: ClassVar[Work] = Work.ACTIVATION
    required: ClassVar[tuple[str, ...]] = ("a", "b")
    optional: ClassVar[tuple[str, ...]] = (
        "a_multiplier",
        "a_shift",
        "b_multiplier",
        "b_shift",
        "out_multiplier",
        "out_shift",
    )

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        a, b, part = inputs["a"], inputs["b"], attributes.get("part", "whole")
        self.need(part in ("whole", "high", "low"), a.name, part, "whole, high or low")
        ends = zip(reversed(a.shape), reversed(b.shape), strict=False)
        fits = len(b.shape) <= len(a.shape) and all(own in (1, onto) for onto, own in ends)
        self.need(fits, a.name, b.shape, f"broadcasts to {a.shape}")
        if a.dtype.is_integer:
            self.need(b.dtype.is_integer, b.name, b.dtype.value, "an integer type")
            return a.shape, DType.INT8
        self.need(a.dtype is b.dtype, b.name, b.dtype.value, a.dtype.value)
        return a.shape, a.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One product per element."""
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        accesses = [spread(slot, names, inputs[slot].shape, output.shape) for slot in self.required]
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(*accesses, simple(OUTPUT, *names)),
            flops_per_point=1,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        product: Array = inputs["a"] * inputs["b"]
        return product

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """Exact."""
        from inferstack.ops.kernels import reference

        return reference.multiply(inputs, str(attributes.get("part", "whole")))


RULE = MultiplyRule()
