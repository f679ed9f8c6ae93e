"""(x - mean) / sqrt(variance + epsilon) * gamma + beta per channel, with stored statistics.

x (batch, channels, ...); gamma, beta, mean, variance (channels,). No integer form: it folds into
the convolution before it.
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


class BatchNormRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "batchnorm"
    work: ClassVar[Work] = Work.NORM
    required: ClassVar[tuple[str, ...]] = ("x", "gamma", "beta", "mean", "variance")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        self.need(len(x.shape) >= 2, x.name, x.shape, "(batch, channels, ...)")
        for slot in self.required[1:]:
            self.need(inputs[slot].shape == x.shape[1:2], x.name, inputs[slot].shape, x.shape[1:2])
        return x.shape, x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element: the statistics are constants, so a product and a sum are left.

        Source: Kim et al. 2023, arXiv:2302.14017, Table 4: BatchNorm has one operation per byte.
        """
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        accesses = [simple(slot, "d1") for slot in self.required[1:]]
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(simple("x", *names), *accesses, simple(OUTPUT, *names)),
            flops_per_point=2,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        channels = (-1, *(1,) * (x.ndim - 2))
        deviation = np.sqrt(inputs["variance"] + x.dtype.type(attributes["epsilon"]))
        factor = inputs["gamma"] / deviation
        offset = inputs["beta"] - inputs["mean"] * factor
        result: Array = x * factor.reshape(channels) + offset.reshape(channels)
        return result


RULE = BatchNormRule()
