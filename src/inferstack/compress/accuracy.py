"""Accuracy of a compressed graph, measured by running it on real sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferstack.compress.calibration import Feeds, mask_input
from inferstack.core.errors import DataError
from inferstack.ir.graph import Graph
from inferstack.ops.execute import execute

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]

BUCKET_TOKENS = 16
"""Sentences of similar length run together, padded to a multiple of this."""
BATCH_SENTENCES = 16
SHORTEST_BIN_TOKENS = 16
"""Accuracy by length begins with sentences of up to so many tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthAccuracy:
    """The cosines of the `samples` sentences of `least` to `most` tokens."""

    least: int
    most: int
    samples: int
    mean_cosine: float
    worst_cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How close the compressed graph's embeddings are to the float graph's.

    mean_cosine, worst_cosine: over `samples` sentences. spearman_*: rank correlation of the cosine
    of each pair with its score, in [-1, 1]; None without pairs. by_length: shortest first.
    """

    mean_cosine: float
    worst_cosine: float
    spearman_float: float | None
    spearman_compressed: float | None
    samples: int
    by_length: tuple[LengthAccuracy, ...] = ()


def embed(
    graph: Graph, feeds: Feeds, *, progress: Callable[[int], None] | None = None
) -> npt.NDArray[np.float32]:
    """The embeddings (sentences, d), the graph's first output, in the order of `feeds`.

    feeds: an array (sentences, tokens) per graph input. Where the graph has a mask, padding behind
    the longest sentence of a batch is not computed: masked positions count for exactly nothing, so
    the integer program gives the same bits at any padded length, and the float graph the same to
    its rounding. progress: called with the sentences of each batch done.
    Raises DataError without sentences.
    """
    import numpy as np

    from inferstack.ops.retoken import with_tokens

    sentences = feeds[graph.inputs[0]].shape[0] if graph.inputs else 0
    if sentences == 0:
        raise DataError("accuracy", "there are no sentences to embed", need="at least 1")
    result: npt.NDArray[np.float32] | None = None
    for rows, tokens in batches_by_length(graph, feeds):
        batch = {name: feeds[name][rows, :tokens] for name in graph.inputs}
        output = execute(with_tokens(graph, tokens), batch)[graph.outputs[0]]
        if result is None:
            result = np.empty((sentences, *output.shape[1:]), dtype=np.float32)
        result[rows] = output
        if progress is not None:
            progress(len(rows))
    assert result is not None
    return result


def batches_by_length(graph: Graph, feeds: Feeds) -> list[tuple[npt.NDArray[np.int64], int]]:
    """(row numbers, tokens) per batch: at most 16 sentences of similar length, shortest first."""
    import numpy as np

    whole = feeds[graph.inputs[0]].shape[1]
    lengths = lengths_of(graph, feeds)
    order = np.argsort(lengths, kind="stable")
    batches = []
    for start in range(0, len(order), BATCH_SENTENCES):
        rows = order[start : start + BATCH_SENTENCES]
        longest = int(lengths[rows].max())
        batches.append((rows, min(-(-longest // BUCKET_TOKENS) * BUCKET_TOKENS, whole)))
    return batches


def lengths_of(graph: Graph, feeds: Feeds) -> npt.NDArray[np.int64]:
    """Tokens of each sentence up to the last attended one, (sentences,); all without a mask."""
    import numpy as np

    name = mask_input(graph)
    first = feeds[graph.inputs[0]]
    if name is None:
        return np.full(first.shape[0], first.shape[1], dtype=np.int64)
    attended = (feeds[name] != 0) * np.arange(1, first.shape[1] + 1)
    lengths: npt.NDArray[np.int64] = np.maximum(attended.max(axis=1), 1).astype(np.int64)
    return lengths


def by_length(similarity: Array, lengths: Array) -> tuple[LengthAccuracy, ...]:
    """Cosines (sentences,) by length in tokens: up to 16, then each octave; empty ones left out."""
    import numpy as np

    found, least, most = list[LengthAccuracy](), 1, SHORTEST_BIN_TOKENS
    while least <= int(np.max(lengths, initial=0)):
        chosen = similarity[(lengths >= least) & (lengths <= most)]
        if chosen.size:
            found.append(
                LengthAccuracy(
                    least=least,
                    most=most,
                    samples=int(chosen.size),
                    mean_cosine=float(chosen.mean()),
                    worst_cosine=float(chosen.min()),
                )
            )
        least, most = most + 1, 2 * most
    return tuple(found)


def feeds_by_length(graph: Graph, feeds: Feeds) -> list[Feeds]:
    """`feeds` in batches of `batches_by_length`, without the padding that none of a batch needs."""
    return [
        {name: feeds[name][rows, :tokens] for name in graph.inputs}
        for rows, tokens in batches_by_length(graph, feeds)
    ]


def cosines(a: Array, b: Array) -> npt.NDArray[np.float64]:
    """Cosine of each row of a (n, d) with the same row of b; a zero row gives 0."""
    import numpy as np

    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    dots = (left * right).sum(axis=1)
    result: npt.NDArray[np.float64] = np.zeros_like(dots)
    np.divide(dots, lengths, out=result, where=lengths > 0)
    return result


def ranks(values: Array) -> npt.NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of their ranks."""
    import numpy as np

    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    averages: npt.NDArray[np.float64] = last - (counts - 1) / 2
    return averages[inverse.reshape(-1)]


def spearman(a: Array, b: Array) -> float:
    """Spearman's rank correlation of a (n,) and b (n,): Pearson of the ranks, ties averaged.

    Raises DataError for fewer than two values or where all values of one side are equal.
    """
    import numpy as np

    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    length = float(np.sqrt((x * x).sum() * (y * y).sum()))
    if length == 0:
        raise DataError(
            "accuracy", "a rank correlation needs two different values on both sides", got=len(x)
        )
    return float((x * y).sum() / length)


def accuracy(
    float_graph: Graph,
    compressed_graph: Graph,
    feeds: Feeds,
    *,
    pairs: tuple[Feeds, Feeds, Sequence[float]] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Accuracy:
    """Run both graphs. feeds: the sentences, an array (sentences, tokens) per graph input.

    pairs: the first and the second sentence of each pair, and the pairs' scores.
    """
    references = embed(float_graph, feeds, progress=progress)
    return accuracy_from(references, float_graph, compressed_graph, feeds, pairs, progress)


def accuracy_from(
    references: Array,
    float_graph: Graph,
    compressed_graph: Graph,
    feeds: Feeds,
    pairs: tuple[Feeds, Feeds, Sequence[float]] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Accuracy:
    """As `accuracy`, with the float graph's embeddings of `feeds` already there."""
    similarity = cosines(references, embed(compressed_graph, feeds, progress=progress))
    correlations: list[float | None] = [None, None]
    if pairs is not None:
        correlations = [
            pair_spearman(graph, pairs, progress) for graph in (float_graph, compressed_graph)
        ]
    return Accuracy(
        mean_cosine=float(similarity.mean()),
        worst_cosine=float(similarity.min()),
        spearman_float=correlations[0],
        spearman_compressed=correlations[1],
        samples=len(similarity),
        by_length=by_length(similarity, lengths_of(float_graph, feeds)),
    )


def pair_spearman(
    graph: Graph,
    pairs: tuple[Feeds, Feeds, Sequence[float]],
    progress: Callable[[int], None] | None = None,
) -> float:
    """Spearman between the cosine of each pair's embeddings and its score."""
    import numpy as np

    first, second, scores = pairs
    similarity = cosines(
        embed(graph, first, progress=progress), embed(graph, second, progress=progress)
    )
    return spearman(similarity, np.asarray(scores, dtype=np.float64))
