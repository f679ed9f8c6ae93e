"""SiLU: x / (1 + exp(-x)), the gate of SwiGLU.

Integer: int32 -> int8 by i-exp, or with attribute bits 16 such integers in int32 for a product that
follows (docs/integer.md).
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


class SiluRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "silu"
    optional: ClassVar[tuple[str, ...]] = ("multiplier", "shift", "out_multiplier", "out_shift")
    flops: ClassVar[int] = 4
    """Sign, exponential, addition, division."""

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, bits = inputs["x"], attributes.get("bits", 8)
        self.need(bits in (8, 16), x.name, bits, "8 or 16 bits")
        if x.dtype.is_integer:
            return x.shape, DType.INT8 if bits == 8 else DType.INT32
        return x.shape, x.dtype

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        # By tanh: exp of a large -x would overflow.
        result: Array = x * x.dtype.type(0.5) * (1 + np.tanh(x * x.dtype.type(0.5)))
        return result

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """Exact."""
        from inferstack.ops.kernels import reference

        return reference.silu(inputs, attributes)


RULE = SiluRule()
