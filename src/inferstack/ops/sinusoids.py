"""Sines and cosines of every distance between two tokens: like (batch, tokens, ...) -> (batch, 2 *
tokens, width).

Row r is of the distance tokens - r, from tokens down to 1 - tokens: half a row of sines, then the
cosines, of distance * 10000^(-2p/width). Nothing of `like` is read. No integer form.
Source: Dai et al. 2019, arXiv:1901.02860, section 3.3; transformers, models/xlnet.
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

BASE = 10_000.0


class SinusoidsRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "sinusoids"
    unit: ClassVar[str | None] = "tanh"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("like",)

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        like, width = inputs["like"], int(attributes["width"])
        self.need(len(like.shape) >= 2, like.name, like.shape, "(batch, tokens, ...)")
        self.need(width > 0 and width % 2 == 0, like.name, width, "an even width")
        return (like.shape[0], 2 * like.shape[1], width), DType.FLOAT32

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One function per element."""
        names = ("d0", "d1", "d2")
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(simple(OUTPUT, *names),),
            flops_per_point=1,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        batch, tokens = inputs["like"].shape[:2]
        half = int(attributes["width"]) // 2
        distances = np.arange(tokens, -tokens, -1, dtype=np.float64)
        angles = distances[:, None] * BASE ** (-np.arange(half) / half)
        rows = np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
        return rows[None].repeat(batch, axis=0)


RULE = SinusoidsRule()
