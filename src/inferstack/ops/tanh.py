"""Hyperbolic tangent; no integer form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.ops.elementwise import ElementwiseRule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class TanhRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "tanh"
    flops: ClassVar[int] = 1
    """One operation, as the library function that it is."""

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        result: Array = np.tanh(inputs["x"])
        return result


RULE = TanhRule()
