"""Learned tokens in front of others: x (batch, tokens, d), table (k, d) -> (batch, k + tokens, d).

No integer form.
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


class PrependRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "prepend"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x", "table")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, table = inputs["x"], inputs["table"]
        fits = len(x.shape) == 3 and len(table.shape) == 2 and table.shape[1] == x.shape[2]
        self.need(fits, x.name, (x.shape, table.shape), "(batch, tokens, d) and (k, d)")
        return (x.shape[0], table.shape[0] + x.shape[1], x.shape[2]), x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element of the result: a move."""
        names, count = ("batch", "m", "n"), inputs["table"].shape[0]
        shifted = Affine((("m", 1),), offset=-count, size=inputs["x"].shape[1])
        first = Affine((("m", 1),), size=count)
        batch, column = Affine((("batch", 1),)), Affine((("n", 1),))
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(
                Access(slot="x", indices=(batch, shifted, column)),
                Access(slot="table", indices=(first, column)),
                simple(OUTPUT, *names),
            ),
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x, table = inputs["x"], inputs["table"]
        spread = np.broadcast_to(table, (len(x), *table.shape))
        return np.concatenate([spread, x], axis=1)


RULE = PrependRule()
