"""Tokens handed to the experts that they go to: x (batch, tokens, d), routes (batch, tokens, E).

Result (batch, tokens * active, d): each token once for each of its experts, in the order of the
experts' numbers. Routes are 0 where a token does not go (see `route`). No integer form.
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


class DispatchRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "dispatch"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x", "routes")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, routes = inputs["x"], inputs["routes"]
        fits = len(x.shape) == 3 and routes.shape[:2] == x.shape[:2]
        self.need(fits, x.name, (x.shape, routes.shape), "(batch, tokens, d) and routes of them")
        return (x.shape[0], x.shape[1] * int(attributes["active"]), x.shape[2]), x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element that is handed on: a move."""
        active = int(attributes["active"])
        names = ("batch", "m", "e", "n")
        extents = (output.shape[0], output.shape[1] // active, active, output.shape[2])
        pairs = Affine((("m", active), ("e", 1)))
        written = (Affine((("batch", 1),)), pairs, Affine((("n", 1),)))
        return IterationSpace(
            dims=tuple(zip(names, extents, strict=True)),
            accesses=(simple("x", "batch", "m", "n"), Access(slot=OUTPUT, indices=written)),
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        return np.repeat(inputs["x"], int(attributes["active"]), axis=1)


RULE = DispatchRule()
