"""The largest of each window: x (batch, channels, height, width).

Attributes kernel, stride, padding, of both axes. What lies outside never wins. No integer form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, Access, Affine, IterationSpace, Rule, simple
from inferstack.ops.windows import sliding, windows

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class MaxPoolRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "max_pool"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x",)
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        self.need(len(x.shape) == 4, x.name, x.shape, "(batch, channels, height, width)")
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        kernel, stride, padding = (int(attributes[n]) for n in ("kernel", "stride", "padding"))
        # A wider padding would give windows that hold nothing.
        sound = 0 <= padding < kernel and kernel > 0 and stride > 0
        self.need(sound, x.name, (kernel, stride, padding), "0 <= padding < kernel, a stride")
        sizes = tuple((size + 2 * padding - kernel) // stride + 1 for size in x.shape[2:])
        self.need(min(sizes) > 0, x.name, x.shape, f"at least one window of {kernel}")
        return (*x.shape[:2], *sizes), x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One comparison per element of each window; points in the padding are counted too."""
        kernel, stride, padding = (int(attributes[n]) for n in ("kernel", "stride", "padding"))
        height, width = inputs["x"].shape[2:]
        rows = sliding("p", "r", stride, 1, padding, height)
        columns = sliding("q", "s", stride, 1, padding, width)
        dims = ("batch", "n", "p", "q")
        read = (Affine((("batch", 1),)), Affine((("n", 1),)), rows, columns)
        return IterationSpace(
            dims=(*zip(dims, output.shape, strict=True), ("r", kernel), ("s", kernel)),
            accesses=(Access(slot="x", indices=read), simple(OUTPUT, *dims)),
            reductions=frozenset({"r", "s"}),
            flops_per_point=1,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        kernel, stride, padding = (int(attributes[n]) for n in ("kernel", "stride", "padding"))
        result: Array = windows(inputs["x"], kernel, kernel, stride, padding, 1, -np.inf).max(
            axis=(4, 5)
        )
        return result


RULE = MaxPoolRule()
