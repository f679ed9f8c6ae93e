"""Scores plus a learned number for each head and distance: x (batch, heads, tokens, context).

table (buckets, heads). The queries are the last tokens of the context. Distances up to half of the
buckets (a quarter to each side with both_ways) have their own; further ones share them on a
logarithmic scale up to `longest`. No integer form.
Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1, and transformers, models/t5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.distance import key_ahead
from inferstack.ops.elementwise import ElementwiseRule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class PositionBiasRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "position_bias"
    pairs: ClassVar[tuple[str, str] | None] = ("d2", "d3")
    unit: ClassVar[str | None] = "add"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x", "table")
    flops: ClassVar[int] = 1
    """One sum; the few rows of the table are not counted."""

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, table = inputs["x"], inputs["table"]
        result = super().infer(inputs, attributes)
        self.need(len(x.shape) == 4, x.name, x.shape, "(batch, heads, tokens, context)")
        fits = len(table.shape) == 2 and table.shape[1] == x.shape[1]
        self.need(fits, x.name, table.shape, f"(buckets, {x.shape[1]} heads)")
        return result

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        x, table = inputs["x"], inputs["table"]
        tokens, context = x.shape[2:]
        ahead = key_ahead(tokens, context)
        bucket = self._buckets(ahead, len(table), attributes)
        result: Array = x + table[bucket].transpose(2, 0, 1)[None].astype(x.dtype)
        return result

    def _buckets(self, ahead: Array, count: int, attributes: Mapping[str, Any]) -> Array:
        import numpy as np

        longest = int(attributes["longest"])
        first = np.zeros_like(ahead)
        if attributes["both_ways"]:
            count //= 2
            first = np.where(ahead > 0, count, 0)
            distance = np.abs(ahead)
        else:
            distance = np.maximum(-ahead, 0)
        own = count // 2
        # In float32, as the weights' own code: a rounding decides at the edges of buckets.
        ratio = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(own))
        far = own + (ratio / math.log(longest / own) * (count - own)).astype(np.int64)
        bucket: Array = first + np.where(distance < own, distance, np.minimum(far, count - 1))
        return bucket


RULE = PositionBiasRule()
