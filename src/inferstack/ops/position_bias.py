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
from inferstack.ops.rule import OUTPUT, IterationSpace, Rule, simple

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class PositionBiasRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "position_bias"
    pairs: ClassVar[tuple[str, str] | None] = ("d2", "d3")
    unit: ClassVar[str | None] = "add"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x", "table")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, table = inputs["x"], inputs["table"]
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        self.need(len(x.shape) == 4, x.name, x.shape, "(batch, heads, tokens, context)")
        fits = len(table.shape) == 2 and table.shape[1] == x.shape[1]
        self.need(fits, x.name, table.shape, f"(buckets, {x.shape[1]} heads)")
        return x.shape, x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One sum per element. The few rows of the table are not counted."""
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(simple("x", *names), simple(OUTPUT, *names)),
            flops_per_point=1,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x, table = inputs["x"], inputs["table"]
        tokens, context = x.shape[2:]
        ahead = np.arange(context) - (np.arange(tokens) + context - tokens)[:, None]
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
