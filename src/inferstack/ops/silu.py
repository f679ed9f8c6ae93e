"""SiLU: x / (1 + exp(-x)), the gate of SwiGLU; no integer form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, IterationSpace, Rule, simple

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class SiluRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "silu"
    work: ClassVar[Work] = Work.ACTIVATION
    required: ClassVar[tuple[str, ...]] = ("x",)
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        return x.shape, x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element; each counts 4: sign, exponential, addition, division."""
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        accesses = [simple("x", *names)]
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(*accesses, simple(OUTPUT, *names)),
            flops_per_point=4,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        # By tanh: exp of a large -x would overflow.
        result: Array = x * x.dtype.type(0.5) * (1 + np.tanh(x * x.dtype.type(0.5)))
        return result


RULE = SiluRule()
