"""`Mapping`: a loop nest with residency, outermost node first.

    Loop(m, 256) Store(input, scratchpad) Loop(n, 16) Store(weight, scratchpad) Store(output,
    accumulator) ... Spatial(k, 16, row) Spatial(n, 16, column)

A loop walks the current chunk of its dimension in steps; the last step may be smaller, so factors
need not divide. A store says that from here inwards the operand's tile (what the loops inside
touch) lives in that level; it is transferred when it changes.

A spatial node splits the current chunk over instances: of the array, innermost, one element each;
of a fan-out, `step` elements each, and what stands further in runs in every instance.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loop:
    """Walks the current chunk of `dim` in chunks of `step` elements."""

    dim: str
    step: int


@dataclass(frozen=True, slots=True)
class Store:
    """From here inwards the tile of the operand `slot` lives in `level`.

    refetched: it is fetched at every step of the loops around, even where the same tile is there
    (as Gemmini's library does).
    """

    slot: str
    level: str
    refetched: bool = False


@dataclass(frozen=True, slots=True)
class Spatial:
    """`extent` pieces of `dim` side by side, of `step` elements each; the last may be smaller.

    axis: "row" or "column" of the array (step 1), or an axis of a fan-out.
    """

    dim: str
    extent: int
    axis: str
    step: int = 1


Node = Loop | Store | Spatial


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """The schedule of one operator, or of one with epilogues.

    fused: names of the operators computed on the output tile before it leaves the accumulator,
        in order (residual add, GELU, softmax, LayerNorm).
    """

    operator: str
    accelerator: str
    nodes: tuple[Node, ...]
    fused: tuple[str, ...] = ()
