"""x / sqrt(mean(x^2) + epsilon) * gamma over rows (see `rows`).

Integer: i-LayerNorm without mean, int32 or int8 -> int8 (docs/integer.md).
Source: Zhang and Sennrich 2019, arXiv:1910.07467, equation 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rows import row_space, row_width, table_shapes
from inferstack.ops.rule import IterationSpace, Rule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class RmsNormRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "rmsnorm"
    work: ClassVar[Work] = Work.NORM
    whole_rows: ClassVar[bool] = True
    required: ClassVar[tuple[str, ...]] = ("x", "gamma")
    optional: ClassVar[tuple[str, ...]] = ("multiplier", "shift")

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, gamma = inputs["x"], inputs["gamma"]
        width = row_width(x.shape, attributes)
        self.need(x.shape[-1] % width == 0, x.name, width, f"a divisor of {x.shape[-1]}")
        may_be = table_shapes(x.shape, width)
        self.need(gamma.shape in may_be, x.name, gamma.shape, may_be)
        return x.shape, DType.INT8 if x.dtype.is_integer else x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element; each counts 4: square, sum, and two products.

        The square root and the division per row are not counted.
        """
        return row_space(output.shape, attributes, {"gamma": len(inputs["gamma"].shape)}, 4)

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        whole = inputs["x"]
        x = whole.reshape(*whole.shape[:-1], -1, row_width(whole.shape, attributes))
        mean = np.square(x).mean(axis=-1, keepdims=True)
        result: Array = x / np.sqrt(mean + x.dtype.type(attributes["epsilon"])) * inputs["gamma"]
        return result.reshape(whole.shape)

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """Exact."""
        from inferstack.ops.kernels import reference

        width = row_width(inputs["x"].shape, attributes)
        return reference.rmsnorm(inputs, attributes, width)


RULE = RmsNormRule()
