"""Rows of a table by index: table (rows, d), ids (batch, tokens) -> (batch, tokens, d)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, IterationSpace, Rule, simple

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class EmbeddingRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "embedding"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("table", "ids")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        table, ids = inputs["table"], inputs["ids"]
        self.need(len(table.shape) == 2, table.name, table.shape, "a table of shape (rows, d)")
        self.need(ids.dtype.is_integer, ids.name, ids.dtype.value, "integer ids")
        return (*ids.shape, table.shape[1]), table.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element of the result.

        Which rows of the table are read depends on the data: no affine access says it. They are as
        many bytes as the result, and are not counted.
        """
        ids = inputs["ids"]
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(simple("ids", *names[: len(ids.shape)]), simple(OUTPUT, *names)),
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        return inputs["table"][inputs["ids"]]

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """The same gather."""
        return self.reference(inputs, attributes)


RULE = EmbeddingRule()
