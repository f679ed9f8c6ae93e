"""New keys or values behind the cached ones.

cache (batch, context, d), x (batch, new, d) -> (batch, context + new, d), of one type. Only the new
rows are moved: the cache is extended in place.
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


class AppendCacheRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "append_cache"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("cache", "x")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        cache, x = inputs["cache"], inputs["x"]
        self.need(
            len(cache.shape) == len(x.shape) == 3 and cache.shape[::2] == x.shape[::2],
            x.name,
            (cache.shape, x.shape),
            "(batch, context, d) and (batch, new, d)",
        )
        self.need(cache.dtype is x.dtype, x.name, x.dtype.value, f"the cache's {cache.dtype.value}")
        return (x.shape[0], cache.shape[1] + x.shape[1], x.shape[2]), x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per new element: read once, written once; no operation."""
        behind = Affine((("m", 1),), offset=inputs["cache"].shape[1])
        written = (Affine((("batch", 1),)), behind, Affine((("n", 1),)))
        return IterationSpace(
            dims=tuple(zip(("batch", "m", "n"), inputs["x"].shape, strict=True)),
            accesses=(simple("x", "batch", "m", "n"), Access(slot=OUTPUT, indices=written)),
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        result: Array = np.concatenate([inputs["cache"], inputs["x"]], axis=1)
        return result

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """The same move."""
        return self.reference(inputs, attributes)


RULE = AppendCacheRule()
