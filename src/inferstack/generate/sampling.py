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
from inferstack.models.scenario import check_size

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
        check_size("--top-k", 1 if self.top_k is None else self.top_k, 1, MOST)
        check_size("--seed", self.seed, 0, MOST)
        for flag, value, most in (
            ("--temperature", self.temperature, HOTTEST),
            ("--top-p", self.top_p, 1.0),
        ):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value <= most:
                need = f"a number from 0 to {most:g}"
                raise InputError(flag, "makes no sense", got=repr(value)[:40], need=need)

    def probabilities(self, logits: Array) -> Array:
        """Of each token (vocabulary,), in float64, where the temperature is above 0."""
        with np.errstate(over="ignore"):
            scaled = (logits.astype(np.float64) - logits.max()) / self.temperature
        if self.top_k is not None and self.top_k < scaled.size:
            least = np.partition(scaled, -self.top_k)[-self.top_k]
            scaled = np.where(scaled < least, -np.inf, scaled)
        shares: Array = np.exp(scaled)
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
        """An id for logits (vocabulary,)."""
        if self.sampling.temperature == 0:
            return int(logits.argmax())
        shares = self.sampling.probabilities(logits)
        drawn = int(np.searchsorted(np.cumsum(shares), self._generator.random(), side="right"))
        # Rounding may leave the sum a little under 1.
        return drawn if drawn < shares.size else int(np.flatnonzero(shares)[-1])
