"""What the experts of each token made, weighted and summed: x (batch, tokens * active, d).

routes (batch, tokens, E) -> (batch, tokens, d); rows stand as `dispatch` hands them on. No integer
form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.experts import chosen
from inferstack.ops.rule import OUTPUT, Access, Affine, IterationSpace, Rule, simple

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class CombineRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "combine"
    unit: ClassVar[str | None] = "multiply"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x", "routes")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, routes = inputs["x"], inputs["routes"]
        active = int(attributes["active"])
        fits = len(x.shape) == 3 and x.shape[1] == routes.shape[1] * active
        self.need(fits, x.name, (x.shape, routes.shape), f"{active} rows for each token")
        return (x.shape[0], routes.shape[1], x.shape[2]), x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element of a row: a product and a sum."""
        active = int(attributes["active"])
        names = ("batch", "m", "e", "n")
        extents = (output.shape[0], output.shape[1], active, output.shape[2])
        pairs = Affine((("m", active), ("e", 1)))
        read = (Affine((("batch", 1),)), pairs, Affine((("n", 1),)))
        return IterationSpace(
            dims=tuple(zip(names, extents, strict=True)),
            accesses=(Access(slot="x", indices=read), simple(OUTPUT, "batch", "m", "n")),
            reductions=frozenset({"e"}),
            flops_per_point=2,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x, routes, active = inputs["x"], inputs["routes"], int(attributes["active"])
        weights = np.take_along_axis(routes, chosen(routes, active), axis=-1)
        rows = x.reshape(*routes.shape[:2], active, x.shape[2])
        result: Array = (rows * weights[..., None]).sum(axis=2)
        return result


RULE = CombineRule()
