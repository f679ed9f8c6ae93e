"""Scores plus slope * (position of the key - position of the query) for each head; no integer form.

x (batch, heads, tokens, context); the queries are the last tokens of the context. Slopes are powers
of 2^(-8/n) for n heads, n a power of two; those of other numbers go between. Attribute scale, 1 by
default, multiplies all.
Source: Press et al. 2021, arXiv:2108.12409, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.ir.graph import Work
from inferstack.ops.distance import key_ahead
from inferstack.ops.elementwise import ElementwiseRule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class AlibiRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "alibi"
    pairs: ClassVar[tuple[str, str] | None] = ("d2", "d3")
    unit: ClassVar[str | None] = "add"
    work: ClassVar[Work] = Work.OTHER
    flops: ClassVar[int] = 2
    """A product and a sum."""

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        heads, tokens, context = x.shape[1:]
        ahead = key_ahead(tokens, context)
        slopes = np.array(alibi_slopes(heads)) * float(attributes.get("scale", 1.0))
        result: Array = x + (slopes[:, None, None] * ahead).astype(x.dtype)
        return result


def alibi_slopes(heads: int) -> list[float]:
    """One for each head."""
    whole = 2 ** (heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * (n + 1) / whole) for n in range(whole)]
    between = [2.0 ** (-4 * (2 * n + 1) / whole) for n in range(heads - whole)]
    return slopes + between


RULE = AlibiRule()
