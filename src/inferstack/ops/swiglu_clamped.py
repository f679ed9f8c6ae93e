"""(x + 1) * gate * sigmoid(1.702 gate), with gate cut to at most 7 and x to -7 .. 7.

gate and x are of one shape. Attributes alpha and limit for other numbers. No integer form.
Source: OpenAI 2025, arXiv:2508.10925, and transformers, models/gpt_oss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, IterationSpace, Rule, simple
from inferstack.ops.shares import sigmoid

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

ALPHA, LIMIT = 1.702, 7.0


class SwigluClampedRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "swiglu_clamped"
    unit: ClassVar[str | None] = "silu"
    work: ClassVar[Work] = Work.ACTIVATION
    required: ClassVar[tuple[str, ...]] = ("gate", "x")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        gate, x = inputs["gate"], inputs["x"]
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        self.need((gate.shape, gate.dtype) == (x.shape, x.dtype), x.name, gate.shape, x.shape)
        return x.shape, x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """Nine operations per element: three comparisons, a sigmoid's three, and three products."""
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=tuple(simple(slot, *names) for slot in (*self.required, OUTPUT)),
            flops_per_point=9,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        limit = float(attributes.get("limit", LIMIT))
        gate = np.minimum(inputs["gate"], limit)
        x = np.clip(inputs["x"], -limit, limit)
        share = sigmoid(float(attributes.get("alpha", ALPHA)) * gate)
        return np.asarray((x + 1) * gate * share, dtype=x.dtype)


RULE = SwigluClampedRule()
