"""Encoders of sentences: how close embeddings stay to the float model's, how they rank pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.compress.accuracy import (
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
from inferstack.models.data import Pairs, read_texts
from inferstack.models.hugging_face import Checkpoint, load_checkpoint
from inferstack.models.scenario import Phase
from inferstack.optimize.quality import Measure, Quality
from inferstack.optimize.stages import Stages, digest, digest_of_graph

if TYPE_CHECKING:
    import numpy.typing as npt

    from inferstack.analysis.workload import Model

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
class SentenceEvaluation:
    """See `Evaluation`. Sentences and pairs as ids: arrays (sentences, tokens) per graph input.

    calibrating: what the ranges come from. measured: what accuracy is measured on. sides, scores:
    of the pairs, if any.
    """

    name: str
    graph: Graph
    stages: Stages
    calibrating: Feeds
    measured: Feeds
    sides: tuple[Feeds, Feeds] | None
    scores: tuple[float, ...]
    truncated: int

    @property
    def unit(self) -> str:
        """What a sample is."""
        return "sentences"

    @property
    def samples(self) -> int:
        """How many measure."""
        return len(self.measured[self.graph.inputs[0]])

    @property
    def pairs(self) -> int:
        """Scored pairs."""
        return len(self.scores)

    @property
    def calibration_samples(self) -> int:
        """How many calibrate."""
        return len(self.calibrating[self.graph.inputs[0]])

    def calibrate(self, progress: Progress) -> Calibration:
        """Statistics of the float graph on the sentences that calibrate."""
        batches = feeds_by_length(self.graph, self.calibrating)
        advance = counted(progress, "calibrating", self.calibration_samples)
        return calibrate(self.graph, batches, progress=advance)

    def feeds(self, count: int) -> Feeds:
        """The first sentences that measure."""
        return {name: values[:count] for name, values in self.measured.items()}

    def quality(self, graph: Graph, method: str, progress: Progress) -> Quality:
        """See `Evaluation`."""
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
        labels = {method: ("spearman_compressed", "Spearman"), FLOAT: ("spearman_float", "of fp32")}
        return Quality(
            measures=(
                Measure(
                    key="mean_cosine",
                    label="cosine mean",
                    value=float(similarity.mean()),
                    meaning="mean cosine against fp32 embeddings",
                ),
                Measure(key="worst_cosine", label="cosine worst", value=float(similarity.min())),
                *(
                    Measure(key=key, label=label, value=correlations[name], spec=".2f", times=100)
                    for name, (key, label) in labels.items()
                    if name in correlations
                ),
            ),
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


class Sentences:
    """See the module."""

    name = "sentences"
    description = "an encoder of sentences, by its embeddings"

    def takes(self, model: Model) -> bool:
        """An encoder that reads words."""
        return Phase.ENCODE in model.architecture.phases and model.architecture.sees_tokens

    def read(self, path: Path) -> tuple[tuple[str, ...], str]:
        """The sentences of a file."""
        found = read_texts(path)
        return found.sentences, f"{found.read_as}: {len(found.sentences):,} sentences"

    def weakness(self, texts: Sequence[str], calibration: Sequence[str] | None) -> str | None:
        """One sentence alone gives ranges that fit it."""
        return weakness(split(texts)[0] if calibration is None else calibration)

    def prepare(
        self,
        model: Path,
        seq_len: int,
        *,
        texts: Sequence[str],
        calibration: Sequence[str] | None,
        pairs: Pairs | None,
        stages: Stages,
    ) -> SentenceEvaluation:
        """Encodes all texts. Raises DataError without sentences, and for pairs of one score."""
        if pairs is not None and len(set(pairs.scores)) == 1:
            raise DataError(
                "--eval",
                "the pairs cannot be ranked",
                got=f"{len(pairs.scores)} of one score",
                need="at least two different scores",
            )
        checkpoint = load_checkpoint(model, seq_len=seq_len)
        calibrating, measured = (
            split(texts) if calibration is None else (tuple(calibration), tuple(texts))
        )
        return prepared(checkpoint, calibrating, measured, pairs, stages)


def prepared(
    checkpoint: Checkpoint,
    calibration: Sequence[str],
    sentences: Sequence[str],
    pairs: Pairs | None,
    stages: Stages,
) -> SentenceEvaluation:
    """The checkpoint with its texts as ids."""
    tokenizer = checkpoint.tokenizer
    texts = [*calibration, *sentences, *(() if pairs is None else (*pairs.first, *pairs.second))]
    return SentenceEvaluation(
        name=checkpoint.name,
        graph=checkpoint.graph,
        stages=stages,
        calibrating=tokenizer.encode(calibration),
        measured=tokenizer.encode(sentences),
        sides=(tokenizer.encode(pairs.first), tokenizer.encode(pairs.second)) if pairs else None,
        scores=pairs.scores if pairs else (),
        truncated=tokenizer.truncated(texts),
    )


TASK = Sentences()
