"""Each row of the last axis, scaled to length 1; a row of zeros stays one. No integer form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.ir.graph import Work
from inferstack.ops.elementwise import ElementwiseRule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class UnitLengthRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "unit_length"
    unit: ClassVar[str | None] = "rmsnorm"
    work: ClassVar[Work] = Work.NORM
    whole_rows: ClassVar[bool] = True
    flops: ClassVar[int] = 3
    """A square, its sum, a division; the root of each row is not counted."""

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        length: Array = np.linalg.norm(x, axis=-1, keepdims=True)
        result: Array = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
        return result


RULE = UnitLengthRule()
