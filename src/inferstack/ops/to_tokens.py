"""The places of an image as a sequence: x (batch, channels, p, q) -> (batch, p * q, channels).

No integer form.
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


class ToTokensRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "to_tokens"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x",)
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        self.need(len(x.shape) == 4, x.name, x.shape, "(batch, channels, p, q)")
        return (x.shape[0], x.shape[2] * x.shape[3], x.shape[1]), x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element: a move."""
        batch, channels, p, q = inputs["x"].shape
        names = ("batch", "n", "p", "q")
        places = Affine((("p", q), ("q", 1)))
        written = (Affine((("batch", 1),)), places, Affine((("n", 1),)))
        return IterationSpace(
            dims=tuple(zip(names, (batch, channels, p, q), strict=True)),
            accesses=(simple("x", *names), Access(slot=OUTPUT, indices=written)),
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        flat = x.reshape(*x.shape[:2], -1)
        return np.ascontiguousarray(flat.swapaxes(1, 2))


RULE = ToTokensRule()
