"""Each head's own elements and, behind them, some that all heads share.

own (batch, tokens, heads * a), common (batch, tokens, b) -> (batch, tokens, heads * (a + b)).
Attribute heads. No integer form.
Source: DeepSeek-AI 2024, arXiv:2405.04434, equations 14 to 17: keys of latent attention.
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


class JoinHeadsRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "join_heads"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("own", "common")
    optional: ClassVar[tuple[str, ...]] = ()

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        own, common, heads = inputs["own"], inputs["common"], int(attributes["heads"])
        fits = own.shape[:2] == common.shape[:2] and own.shape[2] % heads == 0
        self.need(fits, own.name, (own.shape, common.shape), f"{heads} heads of the same tokens")
        return (*own.shape[:2], own.shape[2] + heads * common.shape[2]), own.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element of the result: a move. Every operand is read once."""
        names = ("batch", "m", "n")
        reads = [
            Access(
                slot=slot,
                indices=(
                    Affine((("batch", 1),)),
                    Affine((("m", 1),)),
                    Affine((("n", 1),), size=inputs[slot].shape[2]),
                ),
            )
            for slot in self.required
        ]
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(*reads, simple(OUTPUT, *names)),
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        own, common, heads = inputs["own"], inputs["common"], int(attributes["heads"])
        batch, tokens = own.shape[:2]
        split = own.reshape(batch, tokens, heads, -1)
        spread = np.broadcast_to(common[:, :, None], (batch, tokens, heads, common.shape[2]))
        return np.concatenate([split, spread], axis=3).reshape(batch, tokens, -1)


RULE = JoinHeadsRule()
