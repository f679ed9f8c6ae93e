"""Mean of the attended tokens: x (batch, tokens, d), mask (batch, tokens) -> (batch, d).

normalize: the mean is scaled to length 1. A sentence without attended tokens gives zeros.
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


class MeanPoolRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "mean_pool"
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
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        return (x.shape[0], x.shape[2]), x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element of the result."""
        batch, tokens, width = inputs["x"].shape
        return IterationSpace(
            dims=(("batch", batch), ("m", tokens), ("n", width)),
            accesses=(
                simple("x", "batch", "m", "n"),
                simple("mask", "batch", "m"),
                simple(OUTPUT, "batch", "n"),
            ),
            reductions=frozenset({"m"}),
            flops_per_point=1,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        seen = (inputs["mask"] != 0).astype(x.dtype)[:, :, None]
        mean: Array = (x * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        if not attributes.get("normalize", False):
            return mean
        length: Array = np.linalg.norm(mean, axis=-1, keepdims=True)
        result: Array = np.divide(mean, length, out=np.zeros_like(mean), where=length > 0)
        return result


RULE = MeanPoolRule()
