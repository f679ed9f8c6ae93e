"""Zeros where a sequence is only filled up: x (batch, tokens, d), mask (batch, tokens) -> as x.

mask: 0 = padding. No integer form.
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


class MaskTokensRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "mask_tokens"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x", "mask")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, mask = inputs["x"], inputs["mask"]
        self.need(len(x.shape) == 3, x.name, x.shape, "(batch, tokens, d)")
        self.need(mask.shape == x.shape[:2], x.name, mask.shape, x.shape[:2])
        return x.shape, x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element: a move."""
        names = ("batch", "m", "n")
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(simple("x", *names), simple("mask", "batch", "m"), simple(OUTPUT, *names)),
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        result: Array = np.where(inputs["mask"][:, :, None] != 0, x, x.dtype.type(0))
        return result


RULE = MaskTokensRule()
