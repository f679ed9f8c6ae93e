"""x cut to -limit .. limit, element by element; no integer form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.ir.graph import Work
from inferstack.ops.elementwise import ElementwiseRule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class ClipRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "clip"
    unit: ClassVar[str | None] = "relu"
    work: ClassVar[Work] = Work.OTHER
    flops: ClassVar[int] = 2
    """Two comparisons."""

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        limit = float(attributes["limit"])
        result: Array = np.clip(inputs["x"], -limit, limit)
        return result


RULE = ClipRule()
