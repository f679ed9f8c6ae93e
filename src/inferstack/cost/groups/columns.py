"""Softmax by its running maximum: attention over some columns of the scores at a time.

Scores, softmax and context of a tile of rows are made for one chunk of columns after another. The
context so far, its maxima and its sums stay in the level as partial sums; each further chunk
rescales them to the new maximum, and the last one divides. No row of scores need be there whole.
Source: Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inferstack.cost.groups.tiles import Chunk
from inferstack.mapping.kernels import Kernel

ROW_STATISTICS = 2
"""Running maximum and sum of each row, beside the context's columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Names of the three kernels; extent: columns of a row of scores; step: of a chunk."""

    scores: str
    softmax: str
    context: str
    extent: int
    step: int

    @property
    def turns(self) -> int:
        """Chunks of a row."""
        return self.extent // self.step

    @property
    def names(self) -> tuple[str, str, str]:
        """The kernels that come round for each chunk."""
        return self.scores, self.softmax, self.context

    def narrowed(self, chunks: Mapping[str, Chunk], kernels: Sequence[Kernel]) -> dict[str, Chunk]:
        """The chunks with the columns of one turn."""
        by_name = {kernel.name: kernel for kernel in kernels}
        last = by_name[self.softmax].writes.access.indices[-1].terms[-1][0]
        dims = {self.scores: "n", self.softmax: last, self.context: "k"}
        return {
            name: {**chunk, dims[name]: self.step} if name in dims else chunk
            for name, chunk in chunks.items()
        }


def columns_of(kernels: Sequence[Kernel], step: int) -> Columns | None:
    """The attention of a group in steps of columns; None without any, or for steps with a rest."""
    for scores, softmax, context in zip(kernels, kernels[1:], kernels[2:], strict=False):
        if not _is_attention(scores, softmax, context):
            continue
        extent = scores.space.extents["n"]
        if step < extent and extent % step == 0:
            return Columns(
                scores=scores.name,
                softmax=softmax.name,
                context=context.name,
                extent=extent,
                step=step,
            )
    return None


def columns_of_attention(kernels: Sequence[Kernel]) -> int:
    """Columns of a row of scores; 0 where the group has no attention."""
    for three in zip(kernels, kernels[1:], kernels[2:], strict=False):
        if _is_attention(*three):
            return three[0].space.extents["n"]
    return 0


def _is_attention(scores: Kernel, softmax: Kernel, context: Kernel) -> bool:
    kinds = (scores.kind, softmax.kind, context.kind)
    return (
        kinds == ("attention_scores", "softmax", "attention_context")
        and softmax.reads[0].tensor == scores.writes.tensor
        and context.reads[0].tensor == softmax.writes.tensor
    )
