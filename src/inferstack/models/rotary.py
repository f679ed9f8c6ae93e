"""`Rotary`: how queries and keys are turned by position, with the scalings that are in use.

Source: Su et al. 2021, arXiv:2104.09864; scalings: transformers, modeling_rope_utils.py (linear,
dynamic, yarn: Peng et al. 2023, arXiv:2309.00071; longrope: Ding et al. 2024, arXiv:2402.13753;
llama3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotary:
    """width: elements of a head that turn, the first ones. theta: base of the angles. interleaved:
    neighbours are pairs; else an element and the one half a width behind it.

    scaling: none, linear, dynamic, yarn, longrope, llama3. factor: by how much the sequence is
    stretched. original: the length that the model was trained for before. low, high: of yarn (beta
    slow, beta fast) and llama3 (low and high frequency factor). gain: of cosines and sines, where
    the config gives it. short, long: longrope's factors for each pair. truncate: yarn's.
    """

    width: int
    theta: float
    interleaved: bool = False
    scaling: str = "none"
    factor: float = 1.0
    original: int = 0
    low: float = 1.0
    high: float = 32.0
    gain: float | None = None
    short: tuple[float, ...] = ()
    long: tuple[float, ...] = ()
    truncate: bool = True

    def frequencies(self, tokens: int) -> tuple[float, ...]:
        """The angle of each pair per position, for a sequence of that length."""
        pairs = self.width // 2
        theta = self.theta
        if self.scaling == "dynamic" and tokens > self.original:
            stretch = self.factor * tokens / self.original - (self.factor - 1)
            theta *= stretch ** (self.width / (self.width - 2))
        plain = [theta ** (-2 * pair / self.width) for pair in range(pairs)]
        if self.scaling == "linear":
            return tuple(one / self.factor for one in plain)
        if self.scaling == "longrope":
            factors = self.long if tokens > self.original else self.short
            return tuple(one / factor for one, factor in zip(plain, factors, strict=True))
        if self.scaling == "llama3":
            return tuple(map(self._llama3, plain))
        if self.scaling == "yarn":
            return self._yarn(plain)
        return tuple(plain)

    def _llama3(self, one: float) -> float:
        length = 2 * math.pi / one
        if length < self.original / self.high:
            return one
        if length > self.original / self.low:
            return one / self.factor
        smooth = (self.original / length - self.low) / (self.high - self.low)
        return (1 - smooth) * one / self.factor + smooth * one

    def _yarn(self, plain: list[float]) -> tuple[float, ...]:
        def turning(turns: float) -> float:
            """The pair that turns so often in the original length."""
            length = self.original / (turns * 2 * math.pi)
            return self.width * math.log(length) / (2 * math.log(self.theta))

        first, last = turning(self.high), turning(self.low)
        if self.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, self.width - 1)
        span = last - first or 0.001
        found = []
        for pair, one in enumerate(plain):
            stretched = min(max((pair - first) / span, 0.0), 1.0)
            found.append(one / self.factor * stretched + one * (1 - stretched))
        return tuple(found)

    @property
    def follows_length(self) -> bool:
        """Whether the angles per position depend on how long the sequence is."""
        return self.scaling in ("dynamic", "longrope")

    @property
    def amplitude(self) -> float:
        """What cosines and sines are multiplied by."""
        if self.gain is not None:
            return self.gain
        if self.scaling == "yarn" and self.factor > 1:
            return 0.1 * math.log(self.factor) + 1
        if self.scaling == "longrope" and self.factor > 1:
            return math.sqrt(1 + math.log(self.factor) / math.log(self.original))
        return 1.0

    @property
    def is_plain(self) -> bool:
        """Whether theta alone says the angles."""
        return self.scaling == "none" and not self.interleaved
