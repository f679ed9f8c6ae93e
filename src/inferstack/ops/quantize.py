"""float -> int8: round half to even of x / scale, clipped to [-127, 127];
int16, clipped likewise, with attribute bits = 16.

scale: an attribute, or a tensor (n,) with a unit per channel of the last axis. Or attribute
probabilities: rows of the last axis, each by its own largest value (`quantization.quantize_rows`).
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


class QuantizeRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "quantize"
    work: ClassVar[Work] = Work.QUANTIZATION
    required: ClassVar[tuple[str, ...]] = ("x",)
    optional: ClassVar[tuple[str, ...]] = ("scale",)

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        if "scale" in inputs:
            shape = inputs["scale"].shape
            self.need(shape == x.shape[-1:], x.name, shape, x.shape[-1:])
        return x.shape, DType.INT16 if attributes.get("bits", 8) == 16 else DType.INT8

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element of the result."""
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        accesses = [simple(slot, *names[-len(inputs[slot].shape) :]) for slot in inputs]
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(*accesses, simple(OUTPUT, *names)),
            flops_per_point=2,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        from inferstack.ops.quantization import quantize, quantize_rows

        if attributes.get("probabilities", False):
            return quantize_rows(inputs["x"])
        scale = inputs["scale"] if "scale" in inputs else float(attributes["scale"])
        return quantize(inputs["x"], scale, int(attributes.get("bits", 8)))


RULE = QuantizeRule()
