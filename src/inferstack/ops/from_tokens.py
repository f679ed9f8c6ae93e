"""A sequence as an image of one row: x (batch, tokens, channels) -> (batch, channels, 1, tokens).

The way back from `to_tokens`, for convolutions over time. No integer form.
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


class FromTokensRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "from_tokens"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x",)
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        self.need(len(x.shape) == 3, x.name, x.shape, "(batch, tokens, channels)")
        return (x.shape[0], x.shape[2], 1, x.shape[1]), x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element: a move."""
        batch, tokens, channels = inputs["x"].shape
        first, channel, token = (Affine(((name, 1),)) for name in ("batch", "n", "q"))
        return IterationSpace(
            dims=(("batch", batch), ("n", channels), ("q", tokens)),
            accesses=(
                simple("x", "batch", "q", "n"),
                Access(slot=OUTPUT, indices=(first, channel, Affine(()), token)),
            ),
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        return np.ascontiguousarray(inputs["x"].swapaxes(1, 2)[:, :, None])


RULE = FromTokensRule()
