"""SiLU: x / (1 + exp(-x)), the gate of SwiGLU; no integer form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.ops.elementwise import ElementwiseRule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class SiluRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "silu"
    flops: ClassVar[int] = 4
    """Sign, exponential, addition, division."""

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        # By tanh: exp of a large -x would overflow.
        result: Array = x * x.dtype.type(0.5) * (1 + np.tanh(x * x.dtype.type(0.5)))
        return result


RULE = SiluRule()
