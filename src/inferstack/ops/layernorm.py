"""(x - mean) / sqrt(variance + epsilon) * gamma + beta over the last axis.

Integer: i-LayerNorm, int32 or int8 -> int8 (docs/integer.md).
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


class LayerNormRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "layernorm"
    work: ClassVar[Work] = Work.NORM
    required: ClassVar[tuple[str, ...]] = ("x", "gamma", "beta")
    optional: ClassVar[tuple[str, ...]] = ("multiplier", "shift")

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        for slot in ("gamma", "beta"):
            self.need(inputs[slot].shape == x.shape[-1:], x.name, inputs[slot].shape, x.shape[-1:])
        return x.shape, DType.INT8 if x.dtype.is_integer else x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element; each counts 8.

        Source: derived from Kim et al. 2023, arXiv:2302.14017, Table 3: what GELU, LayerNorm
        and additions have together; 10, 8 and 1 fit.
        """
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        accesses = [simple(slot, *names[-len(inputs[slot].shape) :]) for slot in self.required]
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(*accesses, simple(OUTPUT, *names)),
            flops_per_point=8,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        normal = centred / np.sqrt(variance + x.dtype.type(attributes["epsilon"]))
        result: Array = normal * inputs["gamma"] + inputs["beta"]
        return result

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """i-LayerNorm."""
        from inferstack.ops.kernels import reference

        return reference.layernorm(inputs, attributes)


RULE = LayerNormRule()
