"""integer -> float32: x * scale, scale (1,) or (n,) for the last axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, IterationSpace, Rule, simple, spread

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class DequantizeRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "dequantize"
    work: ClassVar[Work] = Work.QUANTIZATION
    required: ClassVar[tuple[str, ...]] = ("x", "scale")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, scale = inputs["x"], inputs["scale"]
        self.need(x.dtype.is_integer, x.name, x.dtype.value, "integers")
        need = ((1,), x.shape[-1:])
        self.need(scale.shape in need, x.name, scale.shape, f"one of {need}")
        return x.shape, DType.FLOAT32

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element of the result."""
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        accesses = [spread(slot, names, inputs[slot].shape, output.shape) for slot in self.required]
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(*accesses, simple(OUTPUT, *names)),
            flops_per_point=1,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        return np.multiply(inputs["x"], inputs["scale"], dtype=np.float32)


RULE = DequantizeRule()
