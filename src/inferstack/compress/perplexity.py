"""What a decoder's perplexity is made of: a text in windows, and the nats of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def windows_of(ids: Sequence[int], tokens: int, where: str) -> Array:
    """(windows, tokens): the text in pieces without what is left at the end. Raises DataError."""
    import numpy as np

    count = len(ids) // tokens
    if count == 0:
        raise DataError(
            where, "is shorter than a window", got=f"{len(ids):,} tokens",
            need=f"at least {tokens:,}, the --seq-len",
        )  # fmt: skip
    return np.asarray(ids[: count * tokens], dtype=np.int64).reshape(count, tokens)


def spread(windows: Array, most: int) -> Array:
    """At most so many of them, evenly over the text."""
    import numpy as np

    if len(windows) <= most:
        return windows
    chosen: Array = windows[np.linspace(0, len(windows) - 1, most).round().astype(int)]
    return chosen


def nats_of(logits: Array, ids: Array) -> npt.NDArray[Any]:
    """Minus the logarithm of the probability that each row (tokens, vocabulary) gives to its id.

    Raises DataError where a logit is not finite.
    """
    import numpy as np

    values = logits.astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError("perplexity", "the logits are not finite", hint="the weights are damaged")
    most = values.max(axis=1)
    sums = most + np.log(np.exp(values - most[:, None]).sum(axis=1))
    result: npt.NDArray[Any] = sums - values[np.arange(len(ids)), ids]
    return result
