"""Probabilities times V of each head.

probabilities (batch, heads, tokens, context), value (batch, context, kv_heads * dh) -> (batch,
tokens, heads * dh). Integer: int8 operands; each row is divided by the sum of its probabilities.
int32 result at the scale of the values over 2^16, or int8 with tables (docs/integer.md).
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


class AttentionContextRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "attention_context"
    work: ClassVar[Work] = Work.MATMUL
    required: ClassVar[tuple[str, ...]] = ("probabilities", "value")
    optional: ClassVar[tuple[str, ...]] = ("multiplier", "shift")
    pairs: ClassVar[tuple[str, str] | None] = ("m", "k")

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        heads, kv_heads = int(attributes["heads"]), int(attributes["kv_heads"])

        probabilities, value = inputs["probabilities"], inputs["value"]
        self.need(heads % kv_heads == 0, value.name, heads, f"a multiple of {kv_heads} heads")
        self.need(
            probabilities.shape[1] == heads
            and probabilities.shape[3] == value.shape[1]
            and value.shape[2] % kv_heads == 0,
            value.name,
            (probabilities.shape, value.shape),
            f"{heads} heads over one context",
        )
        dtype = value.dtype
        if dtype.is_integer:
            dtype = DType.INT8 if "multiplier" in inputs else DType.INT32
        width = value.shape[2] // kv_heads * heads
        return (value.shape[0], probabilities.shape[2], width), dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per multiply-accumulate."""
        heads, kv_heads = int(attributes["heads"]), int(attributes["kv_heads"])

        batch, _, m, k = inputs["probabilities"].shape
        n, r = output.shape[2] // heads, heads // kv_heads
        accesses = (
            Access(
                slot="probabilities",
                indices=(
                    Affine((("batch", 1),)),
                    Affine((("g", r), ("r", 1))),
                    Affine((("m", 1),)),
                    Affine((("k", 1),)),
                ),
            ),
            Access(
                slot="value",
                indices=(
                    Affine((("batch", 1),)),
                    Affine((("k", 1),)),
                    Affine((("g", n), ("n", 1))),
                ),
            ),
            Access(
                slot=OUTPUT,
                indices=(
                    Affine((("batch", 1),)),
                    Affine((("m", 1),)),
                    Affine((("g", r * n), ("r", n), ("n", 1))),
                ),
            ),
        )
        return IterationSpace(
            dims=(("batch", batch), ("g", kv_heads), ("r", r), ("m", m), ("n", n), ("k", k)),
            accesses=accesses,
            reductions=frozenset({"k"}),
            macs_per_point=1,
            divides_rows=inputs["probabilities"].dtype.is_integer,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        heads, kv_heads = int(attributes["heads"]), int(attributes["kv_heads"])

        from inferstack.ops.kernels.reference import split_heads

        value = split_heads(inputs["value"], kv_heads).repeat(heads // kv_heads, axis=1)
        context: Array = inputs["probabilities"] @ value
        batch, _, tokens, width = context.shape
        return context.transpose(0, 2, 1, 3).reshape(batch, tokens, heads * width)

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """Exact."""
        from inferstack.ops.kernels import reference

        return reference.attention_context(
            inputs, int(attributes["heads"]), int(attributes["kv_heads"])
        )


RULE = AttentionContextRule()
