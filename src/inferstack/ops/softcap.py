"""cap * tanh(x / cap), element by element: values that stay within +-cap. No integer form.

Source: Gemma Team 2024, arXiv:2408.00118, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.ir.graph import Work
from inferstack.ops.elementwise import ElementwiseRule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class SoftcapRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "softcap"
    unit: ClassVar[str | None] = "tanh"
    work: ClassVar[Work] = Work.ACTIVATION
    flops: ClassVar[int] = 3
    """A division, a hyperbolic tangent (counted as one) and a product."""

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        cap = x.dtype.type(attributes["cap"])
        result: Array = cap * np.tanh(x / cap)
        return result


RULE = SoftcapRule()
