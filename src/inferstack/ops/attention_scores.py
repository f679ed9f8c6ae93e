"""scale * Q K^T of each head.

query (batch, tokens, heads * dh), key (batch, context, kv_heads * dh) -> (batch, heads, tokens,
context). Integer: int8 operands, int32 result without the scale (docs/integer.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, Access, Affine, IterationSpace, Rule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class AttentionScoresRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "attention_scores"
    work: ClassVar[Work] = Work.MATMUL
    required: ClassVar[tuple[str, ...]] = ("query", "key")
    optional: ClassVar[tuple[str, ...]] = ("multiplier", "shift")
    pairs: ClassVar[tuple[str, str] | None] = ("m", "n")

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        heads, kv_heads = int(attributes["heads"]), int(attributes["kv_heads"])

        query, key = inputs["query"], inputs["key"]
        self.need(heads % kv_heads == 0, query.name, heads, f"a multiple of {kv_heads} heads")
        self.need(
            query.shape[2] * kv_heads == key.shape[2] * heads and query.shape[2] % heads == 0,
            query.name,
            (query.shape, key.shape),
            f"{heads} and {kv_heads} heads of one width",
        )
        dtype = query.dtype
        if dtype.is_integer:
            dtype = DType.INT8 if "multiplier" in inputs else DType.INT32
        return (query.shape[0], heads, query.shape[1], key.shape[1]), dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per multiply-accumulate."""
        heads, kv_heads = int(attributes["heads"]), int(attributes["kv_heads"])

        batch, _, m, n = output.shape
        k, r = inputs["query"].shape[2] // heads, heads // kv_heads
        row = Affine((("g", r * k), ("r", k), ("k", 1)))
        accesses = (
            Access(slot="query", indices=(Affine((("batch", 1),)), Affine((("m", 1),)), row)),
            Access(
                slot="key",
                indices=(
                    Affine((("batch", 1),)),
                    Affine((("n", 1),)),
                    Affine((("g", k), ("k", 1))),
                ),
            ),
            Access(
                slot=OUTPUT,
                indices=(
                    Affine((("batch", 1),)),
                    Affine((("g", r), ("r", 1))),
                    Affine((("m", 1),)),
                    Affine((("n", 1),)),
                ),
            ),
        )
        return IterationSpace(
            dims=(("batch", batch), ("g", kv_heads), ("r", r), ("m", m), ("n", n), ("k", k)),
            accesses=accesses,
            reductions=frozenset({"k"}),
            macs_per_point=1,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        heads, kv_heads = int(attributes["heads"]), int(attributes["kv_heads"])

        from inferstack.ops.kernels.reference import split_heads

        query, key = split_heads(inputs["query"], heads), split_heads(inputs["key"], kv_heads)
        key = key.repeat(heads // kv_heads, axis=1)
        product: Array = query @ key.swapaxes(2, 3)
        product *= product.dtype.type(attributes["scale"])
        return product

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """Exact."""
        from inferstack.ops.kernels import reference

        return reference.attention_scores(
            inputs, int(attributes["heads"]), int(attributes["kv_heads"])
        )


RULE = AttentionScoresRule()
