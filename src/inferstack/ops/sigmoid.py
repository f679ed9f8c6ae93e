"""1 / (1 + exp(-x)); no integer form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.ops.elementwise import ElementwiseRule
from inferstack.ops.shares import sigmoid

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class SigmoidRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "sigmoid"
    unit: ClassVar[str | None] = "silu"
    flops: ClassVar[int] = 3
    """An exponential, a sum and a division."""

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        return sigmoid(inputs["x"])


RULE = SigmoidRule()
