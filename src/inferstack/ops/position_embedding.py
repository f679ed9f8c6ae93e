"""Rows of a position table: table (positions, d), ids (batch, tokens) -> (batch, tokens, d).

padding_id -1: positions are first .. first + tokens - 1 (first is 0 by default; it is the length of
the cache in decoding). padding_id >= 0: RoBERTa's rule, padding stays at padding_id and the others
count up from padding_id + 1 + first.
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


class PositionEmbeddingRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "position_embedding"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("table", "ids")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        table, ids = inputs["table"], inputs["ids"]
        start = _start(attributes)
        self.need(len(table.shape) == 2, table.name, table.shape, "a table of shape (positions, d)")
        self.need(
            ids.shape[1] + start <= table.shape[0],
            table.name,
            ids.shape[1],
            f"at most {table.shape[0] - start} tokens, what the position table holds",
        )
        return (*ids.shape, table.shape[1]), table.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element of the result; rows as without padding in the sentences."""
        ids = inputs["ids"]
        rows = Affine((("d1", 1),), offset=_start(attributes))
        table = Access(slot="table", indices=(rows, Affine((("d2", 1),))))
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(table, simple("ids", *names[: len(ids.shape)]), simple(OUTPUT, *names)),
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        ids, padding = inputs["ids"], int(attributes.get("padding_id", -1))
        if padding < 0:
            positions = np.broadcast_to(np.arange(ids.shape[1]) + _start(attributes), ids.shape)
        else:
            real = (ids != padding).astype(np.int64)
            behind = int(attributes.get("first", 0))
            positions = (np.cumsum(real, axis=1) + behind) * real + padding
        return inputs["table"][positions]

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """The same gather."""
        return self.reference(inputs, attributes)


def _start(attributes: Mapping[str, Any]) -> int:
    """The position of the first token."""
    padding = int(attributes.get("padding_id", -1))
    return max(padding + 1, 0) + int(attributes.get("first", 0))


RULE = PositionEmbeddingRule()
