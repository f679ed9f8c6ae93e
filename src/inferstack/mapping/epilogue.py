"""What a contraction's output passes through before it leaves the accumulator.

A residual is accumulated in place by a scaled load; one command may follow on the way out. Those
that read a row several times need a tile of whole rows. A product of two tensors is a load that
multiplies what is there, and a command that narrows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ROW_FACTOR_BITS = 32
"""Width of the factor of a row of integer probabilities."""
ROW_KINDS = ("softmax", "layernorm", "rmsnorm", "rotary")
"""Commands that read a row several times."""
PRODUCT = "multiply"
COMMAND_KINDS = ("gelu", "silu", PRODUCT, *ROW_KINDS)
"""What a program computes on the way out of the accumulator, one behind a contraction."""
LOADED_KINDS = ("add", PRODUCT)
"""They load a second operand onto what is in the accumulator."""
VectorKind = Literal["add", "gelu", "silu", "multiply", "softmax", "layernorm", "rmsnorm", "rotary"]
VECTOR_KINDS: tuple[str, ...] = get_args(VectorKind)
"""What programs have instructions for behind the array. Source: the instruction set, `simulate`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epilogue:
    """The operators fused to a contraction.

    names, kinds: in order. output_bits: of what leaves; None without any. residual_bits, scaled: of
    each tensor loaded on the way (LOADED_KINDS), and whether it is rescaled then.
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
