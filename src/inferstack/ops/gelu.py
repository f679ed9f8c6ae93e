"""GELU: x Phi(x), or with approximate="tanh" its usual tanh form, "quick" x sigmoid(1.702 x).

Integer: i-GELU, int32 -> int8 (docs/integer.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, IterationSpace, Rule, simple
from inferstack.ops.shares import sigmoid

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class GeluRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "gelu"
    work: ClassVar[Work] = Work.ACTIVATION
    required: ClassVar[tuple[str, ...]] = ("x",)
    optional: ClassVar[tuple[str, ...]] = ("multiplier", "shift", "out_multiplier", "out_shift")

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        return x.shape, DType.INT8 if x.dtype.is_integer else x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element; each counts 10.

        Source: derived from Kim et al. 2023, arXiv:2302.14017, Table 3: what GELU, LayerNorm
        and additions have together; 10, 8 and 1 fit.
        """
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        accesses = [simple(slot, *names[-len(inputs[slot].shape) :]) for slot in self.required]
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(*accesses, simple(OUTPUT, *names)),
            flops_per_point=10,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        if attributes.get("approximate", "none") == "tanh":
            inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
            return np.asarray(0.5 * x * (1 + np.tanh(inner)), dtype=x.dtype)
        if attributes.get("approximate") == "quick":
            return np.asarray(x * sigmoid(1.702 * x), dtype=x.dtype)
        from inferstack.ops.kernels.floating import gelu

        return gelu(x)

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """i-GELU."""
        from inferstack.ops.kernels import reference

        return reference.gelu(inputs, attributes)


RULE = GeluRule()
