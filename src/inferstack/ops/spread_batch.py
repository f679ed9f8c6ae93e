"""The same rows for every sentence: x (rows, d), like (batch, tokens, ...) -> (batch, rows, d).

near: only the middle 2 * tokens rows, where there are more: a table of distances has that of
distance 0 in its middle. Nothing of `like` is read. No integer form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, Access, Affine, IterationSpace, Rule, simple

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class SpreadBatchRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "spread_batch"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x", "like")

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        self.need(len(x.shape) == 2, x.name, x.shape, "(rows, d)")
        rows, like = x.shape[0], inputs["like"]
        return (
            like.shape[0],
            rows - 2 * _skipped(rows, like.shape, attributes),
            x.shape[1],
        ), x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element of the result, a copy."""
        names = ("d0", "d1", "d2")
        skipped = _skipped(inputs["x"].shape[0], inputs["like"].shape, attributes)
        read = Access(
            slot="x", indices=(Affine((("d1", 1),), offset=skipped), Affine((("d2", 1),)))
        )
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(read, simple(OUTPUT, *names)),
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        x, like = inputs["x"], inputs["like"]
        skipped = _skipped(len(x), like.shape, attributes)
        return x[None, skipped : len(x) - skipped].repeat(len(like), axis=0)


def _skipped(rows: int, like: tuple[int, ...], attributes: Mapping[str, Any]) -> int:
    """Rows that are left out at each end."""
    return max(rows // 2 - like[1], 0) if attributes.get("near", False) else 0


RULE = SpreadBatchRule()
