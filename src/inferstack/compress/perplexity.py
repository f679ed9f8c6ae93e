"""Perplexity of a decoder's graph, float or compressed, on a text cut into windows.

Every window stands alone: its first token has nothing in front of it and is scored by none, as in
`generate.perplexity` with a stride of a whole window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from inferstack.compress.calibration import Feeds
from inferstack.core.errors import DataError
from inferstack.ir.graph import Graph
from inferstack.ops.execute import execute

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def windows_of(ids: Sequence[int], tokens: int, most: int | None = None) -> Feeds:
    """A text's ids as windows (windows, tokens), at most `most`; what does not fill one is left.

    Raises DataError for a text that fills none.
    """
    import numpy as np

    count = len(ids) // tokens
    if count == 0 or tokens < 2:
        raise DataError(
            "perplexity",
            "the text does not fill a window",
            got=f"{len(ids):,} tokens, windows of {tokens:,}",
            need="a window of at least 2 tokens, and a text as long",
        )
    count = count if most is None else min(count, most)
    return {"ids": np.asarray(ids[: count * tokens], dtype=np.int64).reshape(count, tokens)}


def nats_per_token(
    graph: Graph, feeds: Feeds, *, progress: Callable[[int], None] | None = None
) -> float:
    """Minus the mean logarithm of the probability of each window's tokens but the first.

    graph: of a prompt; its second output is the logits. feeds: of `windows_of`; one window runs at
    a time. progress: called with the windows done, 1 each time. Raises DataError for logits that
    are not finite.
    """
    from inferstack.ops.retoken import with_tokens

    ids = feeds["ids"]
    ready = with_tokens(graph, ids.shape[1])
    total = 0.0
    for window in ids:
        logits = execute(ready, {"ids": window[None]})[ready.outputs[1]][0]
        total += float(nats_of(logits[:-1], window[1:]).sum())
        if progress is not None:
            progress(1)
    return total / float(ids.shape[0] * (ids.shape[1] - 1))


def perplexity_of(
    graph: Graph, feeds: Feeds, *, progress: Callable[[int], None] | None = None
) -> float:
    """e to the `nats_per_token`; infinite where that is beyond a float."""
    nats = nats_per_token(graph, feeds, progress=progress)
    return math.exp(nats) if nats < 700 else math.inf


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
