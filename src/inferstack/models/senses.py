"""What stands for words where a model sees or hears: see `description.Description`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """An image in squares of `size`, each a token; `leading` learned tokens stand in front.

    bias: of the projection of a square. Every place has a learned position.
    """

    image: int
    size: int
    channels: int
    leading: int
    bias: bool

    @property
    def tokens(self) -> int:
        """Those of an image."""
        return self.leading + (self.image // self.size) ** 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A signal of `features` numbers at each time: two convolutions of three times, a GELU behind
    each, the second in steps of two, make a token of two times; then learned positions."""

    features: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundConvolution:
    """One over time, without padding. norm: behind it, none, "group" (each channel over all times)
    or "layer" (each time over all channels)."""

    channels: int
    kernel: int
    stride: int
    norm: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """Samples of a sound through convolutions, an activation behind each; then a norm, a dense
    layer, and positions: a convolution of `position_kernel` times in groups, with the activation.

    bias: of the convolutions. norm: the epsilon of that in front of the dense layer; None without
    one. position_kernel: 0 for none.
    """

    convolutions: tuple[SoundConvolution, ...]
    activation: str
    bias: bool
    norm: float | None
    position_kernel: int = 0
    position_groups: int = 1

    def samples(self, tokens: int) -> int:
        """The fewest that make so many tokens."""
        for one in reversed(self.convolutions):
            tokens = (tokens - 1) * one.stride + one.kernel
        return tokens
