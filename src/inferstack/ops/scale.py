"""factor * x, element by element; no integer form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.ir.graph import Work
from inferstack.ops.elementwise import ElementwiseRule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class ScaleRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "scale"
    unit: ClassVar[str | None] = "multiply"
    work: ClassVar[Work] = Work.OTHER
    flops: ClassVar[int] = 1
    """A product."""

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        x = inputs["x"]
        result: Array = x * x.dtype.type(attributes["factor"])
        return result


RULE = ScaleRule()
