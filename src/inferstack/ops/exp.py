"""exp(x); no integer form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.ops.elementwise import ElementwiseRule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class ExpRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "exp"
    unit: ClassVar[str | None] = "silu"
    flops: ClassVar[int] = 1
    """One function."""

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        result: Array = np.exp(inputs["x"])
        return result


RULE = ExpRule()
