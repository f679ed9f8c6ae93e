"""The choice of the next token: the likeliest, or one drawn from the likely ones.

Source: Fan et al. 2018, arXiv:1805.04833 (top-k); Holtzman et al. 2020, arXiv:1904.09751 (top-p);
the order (temperature, top-k, top-p) is that of transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inferstack.core.errors import InputError

Array = npt.NDArray[Any]
HOTTEST = 100.0
MOST = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """temperature: 0 takes the likeliest token. top_k: only so many may be drawn; None is all.
    top_p: only the likeliest that together have this probability. seed: of the draws.

    Raises InputError for what makes no sense.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for flag, value, least, most, kind in (
            ("--temperature", self.temperature, 0.0, HOTTEST, float),
            ("--top-k", 1 if self.top_k is None else self.top_k, 1, MOST, int),
            ("--top-p", self.top_p, 0.0, 1.0, float),
            ("--seed", self.seed, 0, MOST, int),
        ):
            known = isinstance(value, int) or (kind is float and isinstance(value, float))
            if isinstance(value, bool) or not known or not least <= value <= most:
                noun = "a whole number" if kind is int else "a number"
                need = f"{noun} from {least:g} to {most:,}"
                raise InputError(flag, "makes no sense", got=repr(value)[:40], need=need)

    def probabilities(self, logits: Array) -> Array:
        """Of each token (vocabulary,), in float64, where the temperature is above 0."""
        scaled = logits.astype(np.float64) / self.temperature
        if self.top_k is not None and self.top_k < scaled.size:
            least = np.partition(scaled, -self.top_k)[-self.top_k]
            scaled = np.where(scaled < least, -np.inf, scaled)
        shares: Array = np.exp(scaled - scaled.max())
        shares /= shares.sum()
        if self.top_p < 1:
            order = np.argsort(-shares, kind="stable")
            before = np.cumsum(shares[order]) - shares[order]
            # The likeliest token always stays.
            before[0] = -1.0
            shares[order[before >= self.top_p]] = 0
            shares /= shares.sum()
        return shares


class Sampler:
    """Draws by a Sampling, the same tokens for the same seed."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._generator = np.random.default_rng(sampling.seed)

    def choose(self, logits: Array) -> int:
        """An id for logits (vocabulary,). Raises InputError where they are not finite."""
        if not np.isfinite(logits).all():
            raise InputError(
                "generation", "the logits are not finite", hint="the weights are damaged"
            )
        if self.sampling.temperature == 0:
            return int(logits.argmax())
        shares = self.sampling.probabilities(logits)
        drawn = int(np.searchsorted(np.cumsum(shares), self._generator.random(), side="right"))
        # Rounding may leave the sum a little under 1.
        return drawn if drawn < shares.size else int(np.flatnonzero(shares)[-1])
