"""(x - mean) / sqrt(variance + epsilon) * gamma + beta over rows (see `rows`); beta may be absent.

Integer: i-LayerNorm, int32 or int8 -> int8 (docs/integer.md).
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


class LayerNormRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "layernorm"
    work: ClassVar[Work] = Work.NORM
    whole_rows: ClassVar[bool] = True
    required: ClassVar[tuple[str, ...]] = ("x", "gamma")
    optional: ClassVar[tuple[str, ...]] = ("beta", "multiplier", "shift")

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        width = row_width(x.shape, attributes)
        self.need(x.shape[-1] % width == 0, x.name, width, f"a divisor of {x.shape[-1]}")
        for slot in ("gamma", "beta"):
            if slot in inputs:
                shape, may_be = inputs[slot].shape, table_shapes(x.shape, width)
                self.need(shape in may_be, x.name, shape, may_be)
        return x.shape, DType.INT8 if x.dtype.is_integer else x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element; each counts 8.

        Source: derived from Kim et al. 2023, arXiv:2302.14017, Table 3: what GELU, LayerNorm
        and additions have together; 10, 8 and 1 fit.
        """
        tables = {slot: len(inputs[slot].shape) for slot in ("gamma", "beta") if slot in inputs}
        return row_space(output.shape, attributes, tables, 8)

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        whole = inputs["x"]
        x = whole.reshape(*whole.shape[:-1], -1, row_width(whole.shape, attributes))
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        normal = centred / np.sqrt(variance + x.dtype.type(attributes["epsilon"]))
        result: Array = normal * inputs["gamma"]
        if "beta" in inputs:
            result += inputs["beta"]
        return result.reshape(whole.shape)

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """i-LayerNorm."""
        from inferstack.ops.kernels import reference

        return reference.layernorm(inputs, attributes)


RULE = LayerNormRule()
