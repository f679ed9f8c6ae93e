"""a (..., m, k) @ b (k, n) + bias (n,) -> (..., m, n); b is (n, k) with `transpose_b`.

Integer: int8 operands, int32 result, or int8 with tables (docs/integer.md).
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


class MatmulRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "matmul"
    work: ClassVar[Work] = Work.MATMUL
    required: ClassVar[tuple[str, ...]] = ("a", "b")
    optional: ClassVar[tuple[str, ...]] = ("bias", "multiplier", "shift")

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        a, b = inputs["a"], inputs["b"]
        self.need(len(b.shape) == 2, a.name, b.shape, "b of shape (k, n)")
        k, n = reversed(b.shape) if attributes.get("transpose_b") else b.shape
        self.need(a.shape[-1] == k, a.name, a.shape, f"a last axis of {k}")
        if "bias" in inputs:
            self.need(inputs["bias"].shape == (n,), a.name, inputs["bias"].shape, (n,))
        dtype = a.dtype
        if dtype.is_integer:
            dtype = DType.INT8 if "multiplier" in inputs else DType.INT32
        return (*a.shape[:-1], n), dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per multiply-accumulate."""
        a, transposed = inputs["a"], attributes.get("transpose_b")
        accesses = [simple("a", "m", "k"), simple("b", *("nk" if transposed else "kn"))]
        if "bias" in inputs:
            accesses.append(simple("bias", "n"))
        m = math.prod(a.shape[:-1])
        return IterationSpace(
            dims=(("m", m), ("n", output.shape[-1]), ("k", a.shape[-1])),
            accesses=(*accesses, simple(OUTPUT, "m", "n")),
            reductions=frozenset({"k"}),
            macs_per_point=1,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        b = inputs["b"].T if attributes.get("transpose_b") else inputs["b"]
        product: Array = inputs["a"] @ b
        return product + inputs["bias"] if "bias" in inputs else product

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """Exact."""
        from inferstack.ops.kernels import reference

        return reference.matmul(inputs, bool(attributes.get("transpose_b", False)))


RULE = MatmulRule()
