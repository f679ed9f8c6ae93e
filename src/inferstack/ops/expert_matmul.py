"""Each token times its expert's matrix: a (batch, tokens * active, k), b (E, k, n), bias (E, n).

routes (batch, tokens, E) say who goes where; rows stand as `dispatch` hands them on. Result (batch,
tokens * active, n). Attribute active. As a loop nest it is taken as balanced: all experts, or as
many as there are rows, are read, and have room for as many rows each, rounded up; the rows behind
the last one are idle. No integer form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.core.units import ceil_div
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.experts import chosen
from inferstack.ops.rule import OUTPUT, Access, Affine, IterationSpace, Rule, simple

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class ExpertMatmulRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "expert_matmul"
    work: ClassVar[Work] = Work.MATMUL
    required: ClassVar[tuple[str, ...]] = ("a", "b", "routes")
    optional: ClassVar[tuple[str, ...]] = ("bias",)
    assumes: ClassVar[str | None] = "balanced experts, each with as many tokens as any other"

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        a, b, routes = (inputs[slot] for slot in self.required)
        self.need(not a.dtype.is_integer, a.name, a.dtype.value, "floating point")
        rows = routes.shape[1] * int(attributes["active"])
        fits = len(a.shape) == len(b.shape) == 3 and a.shape[1:] == (rows, b.shape[1])
        self.need(fits and b.shape[0] == routes.shape[2], a.name, (a.shape, b.shape), "(E, k, n)")
        if "bias" in inputs:
            need = (b.shape[0], b.shape[2])
            self.need(inputs["bias"].shape == need, a.name, inputs["bias"].shape, need)
        return (*a.shape[:2], b.shape[2]), a.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per multiply-accumulate of balanced experts."""
        experts, k, n = inputs["b"].shape
        pairs = output.shape[0] * output.shape[1]
        visited = min(experts, pairs)
        each = ceil_div(pairs, visited)
        rows = Affine((("g", each), ("m", 1)), size=pairs if visited * each > pairs else None)
        accesses = [
            Access(slot="a", indices=(rows, Affine((("k", 1),)))),
            simple("b", "g", "k", "n"),
        ]
        if "bias" in inputs:
            accesses.append(simple("bias", "g", "n"))
        return IterationSpace(
            dims=(("g", visited), ("m", each), ("n", n), ("k", k)),
            accesses=(*accesses, Access(slot=OUTPUT, indices=(rows, Affine((("n", 1),))))),
            reductions=frozenset({"k"}),
            macs_per_point=1,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        a, b = inputs["a"], inputs["b"]
        expert = chosen(inputs["routes"], int(attributes["active"])).reshape(a.shape[:2])
        result = np.empty((*a.shape[:2], b.shape[2]), dtype=a.dtype)
        for number in np.unique(expert):
            here = expert == number
            result[here] = a[here] @ b[number]
            if "bias" in inputs:
                result[here] += inputs["bias"][number]
        return result


RULE = ExpertMatmulRule()
