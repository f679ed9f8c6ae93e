"""max(x, 0); no integer form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.ops.elementwise import ElementwiseRule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class ReluRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "relu"
    flops: ClassVar[int] = 1
    """A comparison."""

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        result: Array = np.maximum(inputs["x"], 0)
        return result


RULE = ReluRule()
