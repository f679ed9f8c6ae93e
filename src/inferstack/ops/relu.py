"""max(x, 0).

Integer: int32 or int8 -> int8 (docs/integer.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor
from inferstack.ops.elementwise import ElementwiseRule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class ReluRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "relu"
    optional: ClassVar[tuple[str, ...]] = ("multiplier", "shift")
    flops: ClassVar[int] = 1
    """A comparison."""

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        return x.shape, DType.INT8 if x.dtype.is_integer else x.dtype

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        result: Array = np.maximum(inputs["x"], 0)
        return result

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """Exact."""
        from inferstack.ops.kernels import reference

        return reference.relu(inputs)


RULE = ReluRule()
