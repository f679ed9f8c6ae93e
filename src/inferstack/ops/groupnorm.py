"""(x - mean) / sqrt(variance + epsilon) * gamma + beta, mean and variance of each group of
channels over all its places.

x (batch, channels, ...); gamma, beta (channels,). Attributes groups, which divides the channels,
and epsilon. No integer form.
Source: Wu and He 2018, arXiv:1803.08494.
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


class GroupNormRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "groupnorm"
    unit: ClassVar[str | None] = "layernorm"
    work: ClassVar[Work] = Work.NORM
    whole_rows: ClassVar[bool] = True
    required: ClassVar[tuple[str, ...]] = ("x", "gamma", "beta")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, groups = inputs["x"], int(attributes["groups"])
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        self.need(len(x.shape) >= 2, x.name, x.shape, "(batch, channels, ...)")
        fits = groups > 0 and x.shape[1] % groups == 0
        self.need(fits, x.name, groups, f"groups that divide {x.shape[1]} channels")
        for slot in self.required[1:]:
            self.need(inputs[slot].shape == x.shape[1:2], x.name, inputs[slot].shape, x.shape[1:2])
        return x.shape, x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element; each counts 8, as of `layernorm`."""
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        tables = [simple(slot, "d1") for slot in self.required[1:]]
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(simple("x", *names), *tables, simple(OUTPUT, *names)),
            flops_per_point=8,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        whole = inputs["x"]
        x = whole.reshape(len(whole), int(attributes["groups"]), -1)
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        normal = centred / np.sqrt(variance + x.dtype.type(attributes["epsilon"]))
        channels = (-1, *(1,) * (whole.ndim - 2))
        gamma, beta = (inputs[slot].reshape(channels) for slot in ("gamma", "beta"))
        result: Array = normal.reshape(whole.shape) * gamma + beta
        return result


RULE = GroupNormRule()
