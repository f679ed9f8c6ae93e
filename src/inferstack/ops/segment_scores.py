"""Scores plus those of whether query and key are of one segment: x (batch, heads, tokens, tokens).

by_row (batch, heads, tokens, 2): what each query scores with "the same" and with "another". types
(batch, tokens): the segment of each token. No integer form.
Source: Yang et al. 2019, arXiv:1906.08237, section 2.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, IterationSpace, Rule, simple

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class SegmentScoresRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "segment_scores"
    unit: ClassVar[str | None] = "add"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x", "by_row", "types")

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, rows, types = inputs["x"], inputs["by_row"], inputs["types"]
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        square = len(x.shape) == 4 and x.shape[2] == x.shape[3]
        self.need(square, x.name, x.shape, "(batch, heads, tokens, tokens)")
        self.need(rows.shape == (*x.shape[:3], 2), x.name, rows.shape, (*x.shape[:3], 2))
        need = (x.shape[0], x.shape[2])
        self.need(types.shape == need, x.name, types.shape, need)
        return x.shape, x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One sum per element. The few elements of by_row are not counted."""
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(simple("x", *names), simple("types", "d0", "d3"), simple(OUTPUT, *names)),
            flops_per_point=1,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        types, by_row = inputs["types"], inputs["by_row"]
        other = (types[:, None, :, None] != types[:, None, None, :]).astype(np.int64)
        result: Array = inputs["x"] + np.take_along_axis(by_row, other, axis=3)
        return result


RULE = SegmentScoresRule()
