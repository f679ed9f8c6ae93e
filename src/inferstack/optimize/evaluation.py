"""The data of a run: what calibrates, what measures, and the accuracy of each model on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferstack.compress.accuracy import (
    Accuracy,
    batches_by_length,
    by_length,
    cosines,
    embed,
    feeds_by_length,
    lengths_of,
    spearman,
)
from inferstack.compress.calibration import Calibration, Feeds, calibrate
from inferstack.core.errors import DataError
from inferstack.core.progress import Progress, counted
from inferstack.ir.graph import Graph
from inferstack.models.data import Pairs
from inferstack.models.hugging_face import Checkpoint
from inferstack.optimize.stages import Stages, digest, digest_of_graph

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

CALIBRATION_SENTENCES = 128
EVERY_THIRD = 3
FLOAT = "float"


def split(sentences: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(calibration, evaluation): every third calibrates, at most 128; the others measure.

    With fewer than three sentences, all do both.
    """
    if len(sentences) < EVERY_THIRD:
        return tuple(sentences), tuple(sentences)
    calibrating = set(range(0, len(sentences), EVERY_THIRD)[:CALIBRATION_SENTENCES])
    return (
        tuple(sentences[i] for i in sorted(calibrating)),
        tuple(s for i, s in enumerate(sentences) if i not in calibrating),
    )


def weakness(calibrating: Sequence[str]) -> str | None:
    """Why ranges from these sentences cannot be trusted; None where there is no such reason."""
    distinct = len(set(calibrating))
    if distinct != 1:
        return None
    return (
        "warning: one sentence alone calibrates; the integers' ranges fit it and may cut off "
        "what other sentences need. A few hundred do"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Sentences and pairs of one checkpoint, encoded: arrays (sentences, tokens) per graph input.

    graph: the float one. calibrating: what the ranges
    come from. measured: what accuracy is measured on. sides, scores: of the pairs, if any.
    truncated: sentences that are longer than the sequence and lose their end.
    """

    graph: Graph
    stages: Stages
    calibrating: Feeds
    measured: Feeds
    sides: tuple[Feeds, Feeds] | None
    scores: tuple[float, ...]
    truncated: int

    @property
    def sentences(self) -> int:
        """How many measure."""
        return len(self.measured[self.graph.inputs[0]])

    @property
    def calibration_sentences(self) -> int:
        """How many calibrate."""
        return len(self.calibrating[self.graph.inputs[0]])

    def calibrate(self, progress: Progress) -> Calibration:
        """Statistics of the float graph on the sentences that calibrate."""
        batches = feeds_by_length(self.graph, self.calibrating)
        advance = counted(progress, "calibrating", self.calibration_sentences)
        return calibrate(self.graph, batches, progress=advance)

    def accuracy(self, graph: Graph, method: str, progress: Progress) -> Accuracy:
        """Of a compressed graph; `method` names it among the stages."""
        import numpy as np

        names = {FLOAT: self.graph, method: graph}
        vectors = {
            name: self._embeddings(name, one, self.measured, progress)
            for name, one in names.items()
        }
        similarity = cosines(vectors[FLOAT], vectors[method])
        correlations: dict[str, float] = {}
        if self.sides is not None:
            for name, one in names.items():
                first, second = (self._embeddings(name, one, side, progress) for side in self.sides)
                correlations[name] = spearman(cosines(first, second), np.asarray(self.scores))
        return Accuracy(
            mean_cosine=float(similarity.mean()),
            worst_cosine=float(similarity.min()),
            spearman_float=correlations.get(FLOAT),
            spearman_compressed=correlations.get(method),
            samples=len(similarity),
            by_length=by_length(similarity, lengths_of(self.graph, self.measured)),
        )

    def _embeddings(self, name: str, graph: Graph, feeds: Feeds, progress: Progress) -> Array:
        """The embeddings of `feeds`, by stages of sentences of similar length."""
        import numpy as np

        batches = [rows for rows, _ in batches_by_length(graph, feeds)]
        key = digest_of_graph(graph)
        count = sum(len(rows) for rows in batches)
        advance = counted(progress, f"running the {name} model", count)
        result: Array | None = None
        for rows in batches:
            part = {key: feeds[key][rows] for key in graph.inputs}
            vectors = self._stage(name, key, graph, part)
            if result is None:
                result = np.empty((count, vectors.shape[1]), dtype=vectors.dtype)
            result[rows] = vectors
            advance(len(rows))
        assert result is not None, "there are sentences"
        return result

    def _stage(self, name: str, key: str, graph: Graph, feeds: Feeds) -> Array:
        whole = digest(key, *(feeds[n].tobytes() for n in graph.inputs))
        rows = len(feeds[graph.inputs[0]])
        return self.stages.array(f"embeddings-{name}", whole, rows, lambda: embed(graph, feeds))


def prepare(
    checkpoint: Checkpoint,
    *,
    calibration: Sequence[str],
    sentences: Sequence[str],
    pairs: Pairs | None,
    stages: Stages,
) -> Evaluation:
    """Encodes all texts. Raises DataError without sentences, and for pairs of one score."""
    if pairs is not None and len(set(pairs.scores)) == 1:
        raise DataError(
            "--eval",
            "the pairs cannot be ranked",
            got=f"{len(pairs.scores)} of one score",
            need="at least two different scores",
        )
    tokenizer = checkpoint.tokenizer
    texts = [*calibration, *sentences, *(() if pairs is None else (*pairs.first, *pairs.second))]
    return Evaluation(
        graph=checkpoint.graph,
        stages=stages,
        calibrating=tokenizer.encode(calibration),
        measured=tokenizer.encode(sentences),
        sides=(tokenizer.encode(pairs.first), tokenizer.encode(pairs.second)) if pairs else None,
        scores=pairs.scores if pairs else (),
        truncated=tokenizer.truncated(texts),
    )
