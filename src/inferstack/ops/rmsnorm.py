"""x / sqrt(mean(x^2) + epsilon) * gamma over the last axis; no integer form.

Source: Zhang and Sennrich 2019, arXiv:1910.07467, equation 4.
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


class RmsNormRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "rmsnorm"
    work: ClassVar[Work] = Work.NORM
    required: ClassVar[tuple[str, ...]] = ("x", "gamma")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, gamma = inputs["x"], inputs["gamma"]
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        self.need(gamma.shape == x.shape[-1:], x.name, gamma.shape, x.shape[-1:])
        return x.shape, x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element; each counts 4: square, sum, and two products.

        The square root and the division per row are not counted.
        """
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        accesses = [simple("x", *names), simple("gamma", names[-1])]
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(*accesses, simple(OUTPUT, *names)),
            flops_per_point=4,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        mean = np.square(x).mean(axis=-1, keepdims=True)
        result: Array = x / np.sqrt(mean + x.dtype.type(attributes["epsilon"])) * inputs["gamma"]
        return result


RULE = RmsNormRule()
