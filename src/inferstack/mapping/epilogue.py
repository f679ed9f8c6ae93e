"""What a contraction's output passes through before it leaves the accumulator.

A residual is accumulated in place by a scaled load; one of GELU, softmax and LayerNorm may follow
on the way out. Softmax and LayerNorm read the row several times, so the tile must hold whole rows.
"""

from __future__ import annotations

from dataclasses import dataclass

ROW_FACTOR_BITS = 32
"""Width of the factor of a row of integer probabilities."""
ROW_KINDS = ("softmax", "layernorm")
COMMAND_KINDS = ("gelu", *ROW_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Epilogue:
    """The operators fused to a contraction.

    names, kinds: in order. output_bits: of what leaves; None without any. residual_bits, scaled: of
    each tensor added on the way, and whether it is rescaled then.
    """

    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    output_bits: int | None = None
    residual_bits: tuple[int, ...] = ()
    scaled: tuple[bool, ...] = ()

    @property
    def command(self) -> str | None:
        """The kind that is computed on the way out, if any."""
        return next((kind for kind in self.kinds if kind in COMMAND_KINDS), None)

    @property
    def row_factor_bits(self) -> int:
        """Bits written behind each row: a softmax hands on the factor of its row."""
        return ROW_FACTOR_BITS if self.command == "softmax" else 0

    @property
    def whole_rows(self) -> bool:
        """Whether a tile must hold whole rows of n."""
        return self.command in ROW_KINDS


NO_EPILOGUE = Epilogue()
