"""Perplexity of a decoder on a text, by windows that overlap.

A window slides over the tokens by `stride`; of each, the tokens that no earlier one had are scored,
with the rest in front of them. A window's first token has nothing in front of it and is scored by
none that begins with it. Source: transformers, docs/source/en/perplexity.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inferstack.compress.perplexity import nats_of
from inferstack.core.errors import InputError
from inferstack.core.progress import Progress, silent
from inferstack.generate.runner import CHUNK_TOKENS, Runner
from inferstack.models.scenario import check_size

Array = npt.NDArray[Any]
USUAL_WINDOW = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Perplexity:
    """nats: minus the logarithms of the probabilities, summed over `scored` of `tokens` tokens."""

    nats: float
    scored: int
    tokens: int
    window: int
    stride: int

    @property
    def value(self) -> float:
        """e to the mean; infinite where that is beyond a float."""
        mean = self.nats / self.scored
        return math.exp(mean) if mean < 700 else math.inf


def perplexity(
    runner: Runner,
    ids: Sequence[int],
    *,
    window: int | None = None,
    stride: int | None = None,
    progress: Progress = silent,
) -> Perplexity:
    """Of a text's ids. window: tokens, 1,024 or the model's positions by default; stride: half of
    it. Raises InputError for what makes no sense, and for fewer than two tokens.
    """
    longest = runner.description.longest
    window = min(longest, USUAL_WINDOW) if window is None else window
    check_size("--window", window, 2, longest)
    stride = max(window // 2, 1) if stride is None else stride
    check_size("--stride", stride, 1, window)
    if len(ids) < 2:
        got, need = f"{len(ids)} tokens", "at least 2: each is scored behind another"
        raise InputError("--data", "is too short", got=got, need=need)
    nats, scored, done = 0.0, 0, 1
    for begin in range(0, len(ids), stride):
        end = min(begin + window, len(ids))
        first = max(done, begin + 1)
        if first < end:
            nats += _nats(runner, ids[begin:end], first - begin)
            scored += end - first
        done = end
        progress("scoring", done, len(ids))
        if end == len(ids):
            break
    return Perplexity(nats=nats, scored=scored, tokens=len(ids), window=window, stride=stride)


def _nats(runner: Runner, ids: Sequence[int], first: int) -> float:
    """Of the tokens from `first` on."""
    sequence = runner.start(len(ids))
    sequence.reach = len(ids)
    if first > 1:
        sequence.feed(ids[: first - 1])
    total = 0.0
    for start in range(first - 1, len(ids) - 1, CHUNK_TOKENS):
        end = min(start + CHUNK_TOKENS, len(ids) - 1)
        logits = sequence.feed(ids[start:end], every=True)
        total += float(nats_of(logits, np.asarray(ids[start + 1 : end + 1])).sum())
    return total
