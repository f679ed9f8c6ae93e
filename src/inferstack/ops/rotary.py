"""Rotary position embedding of x (batch, tokens, heads * width): pairs turned by their position.

In each head, element p and element p + turned/2 of the first `turned` ones turn together by
position * theta^(-2p/turned); with `interleaved`, elements 2p and 2p + 1. The rest stays as it is.
Attributes heads, theta, first (the position of the first token, 0 by default); turned (all by
default), skipped (elements in front of them, none by default), interleaved; frequencies, which
replace the powers of theta, and amplitude, of cosines and sines, for stretched positions.
Integer: int32 or int8 -> int8; cosine and sine (tokens, turned / 2) are tables (docs/integer.md).
Source: Su et al. 2021, arXiv:2104.09864, equation 34; halves are the pairing of Llama's weights in
transformers, neighbours that of GPT-J's.
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


class RotaryRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "rotary"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x",)
    optional: ClassVar[tuple[str, ...]] = (
        "cosine",
        "sine",
        "multiplier",
        "shift",
        "out_multiplier",
        "out_shift",
    )

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, heads = inputs["x"], int(attributes["heads"])
        sound = len(x.shape) == 3 and x.shape[2] % (2 * heads) == 0
        self.need(sound, x.name, x.shape, f"(batch, tokens, d), {heads} heads of an even width")
        turned = int(attributes.get("turned", x.shape[2] // heads))
        end = int(attributes.get("skipped", 0)) + turned
        fits = turned % 2 == 0 and end <= x.shape[2] // heads
        self.need(fits, x.name, turned, f"an even part of {x.shape[2] // heads} elements")
        if not x.dtype.is_integer:
            return x.shape, x.dtype
        for slot in ("cosine", "sine"):
            shape = inputs[slot].shape if slot in inputs else None
            self.need(shape == (x.shape[1], turned // 2), x.name, shape, f"a table of each {slot}")
        return x.shape, DType.INT8

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element: two products and a sum with its partner.

        Angles, sines and cosines are the same for all heads and layers, and are not counted.
        """
        batch, tokens, width = output.shape
        heads = int(attributes["heads"])
        each = width // heads
        column = Affine((("head", each), ("half", each // 2), ("pair", 1)))
        indices = (Affine((("batch", 1),)), Affine((("m", 1),)), column)
        extents = (batch, tokens, heads, 2, each // 2)
        return IterationSpace(
            dims=tuple(zip(("batch", "m", "head", "half", "pair"), extents, strict=True)),
            accesses=tuple(Access(slot=slot, indices=indices) for slot in ("x", OUTPUT)),
            flops_per_point=3,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        x = inputs["x"]
        first, width = int(attributes.get("first", 0)), x.shape[2] // int(attributes["heads"])
        cosine, sine = cosine_sine(first, x.shape[1], width, attributes)
        return turned_by(x, cosine.astype(x.dtype), sine.astype(x.dtype), attributes)

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """Exact."""
        from inferstack.ops.kernels import reference

        return reference.rotary(inputs, attributes)


def cosine_sine(
    first: int, tokens: int, width: int, attributes: Mapping[str, Any]
) -> tuple[Array, Array]:
    """Of the angles of `tokens` positions from `first` on, for heads of `width` elements: each
    (tokens, 1, pairs), in float64."""
    import numpy as np

    pairs = int(attributes.get("turned", width)) // 2
    frequencies = attributes.get("frequencies")
    if frequencies is None:
        frequencies = float(attributes["theta"]) ** -(np.arange(pairs, dtype=np.float64) / pairs)
    positions = np.arange(first, first + tokens, dtype=np.float64)
    angles = (positions[:, None] * np.asarray(frequencies))[:, None, :]
    amplitude = float(attributes.get("amplitude", 1.0))
    return amplitude * np.cos(angles), amplitude * np.sin(angles)


def integer_angles(table: Array) -> Array:
    """A table of `cosine_sine` as (tokens, pairs) integers, 14 bits after the binary point."""
    import numpy as np

    from inferstack.ops.kernels.positions import ANGLE_BITS

    rounded: Array = np.rint(table[:, 0] * 2**ANGLE_BITS).astype(np.int32)
    return rounded


def turned_by(x: Array, cosine: Array, sine: Array, attributes: Mapping[str, Any]) -> Array:
    """x with its pairs turned by the angles of `cosine_sine`."""
    import numpy as np

    result = x.reshape(*x.shape[:2], int(attributes["heads"]), -1).copy()
    start, half = int(attributes.get("skipped", 0)), cosine.shape[-1]
    middle, end = start + half, start + 2 * half
    interleaved = bool(attributes.get("interleaved", False))
    pairs = np.s_[start:end:2] if interleaved else np.s_[start:middle]
    partners = np.s_[start + 1 : end : 2] if interleaved else np.s_[middle:end]
    low, high = result[..., pairs].copy(), result[..., partners].copy()
    result[..., pairs] = low * cosine - high * sine
    result[..., partners] = high * cosine + low * sine
    return result.reshape(x.shape)


RULE = RotaryRule()
