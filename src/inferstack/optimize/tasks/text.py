"""Decoders: how well they foretell a text, by perplexity, and how often the likeliest token stays.

The text is cut into windows of the sequence's length that do not overlap. Of each, every token but
the first is scored behind those in front of it, as `inferstack perplexity` scores with --window and
--stride of that length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.compress.calibration import Calibration, Feeds, calibrate
from inferstack.compress.perplexity import nats_of, spread, windows_of
from inferstack.core.errors import InputError
from inferstack.core.progress import Progress, counted
from inferstack.ir.graph import Graph
from inferstack.models.data_files import LARGEST_TEXT_BYTES, text_of
from inferstack.models.decoder_checkpoint import load_decoder
from inferstack.models.description import Description
from inferstack.models.scenario import Phase, Scenario
from inferstack.ops.execute import execute
from inferstack.optimize.quality import Measure, Quality
from inferstack.optimize.stages import Stages, digest, digest_of_graph

if TYPE_CHECKING:
    import numpy.typing as npt

    from inferstack.analysis.workload import Model
    from inferstack.models.data import Pairs

    Array = npt.NDArray[Any]

EVERY_THIRD = 3
CALIBRATION_WINDOWS = 32
MEASURED_WINDOWS = 64
"""At most, spread evenly over the text."""
LOGITS_AT_ONCE = 2**24
"""Values; as many windows run together."""
FLOAT = "float"
LARGEST_EXPONENT = 700


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEvaluation:
    """See `Evaluation`. calibrating, measured: ids (windows, tokens)."""

    name: str
    graph: Graph
    stages: Stages
    calibrating: Array
    measured: Array

    @property
    def unit(self) -> str:
        """What a sample is."""
        return f"windows of {self.measured.shape[1]} tokens"

    @property
    def samples(self) -> int:
        """Windows that measure."""
        return len(self.measured)

    @property
    def calibration_samples(self) -> int:
        """Windows that calibrate."""
        return len(self.calibrating)

    @property
    def truncated(self) -> int:
        """A text is cut into windows, none of which loses its end."""
        return 0

    @property
    def pairs(self) -> int:
        """None."""
        return 0

    def feeds(self, count: int) -> Feeds:
        """The first windows that measure."""
        return {self.graph.inputs[0]: self.measured[:count]}

    def calibrate(self, progress: Progress) -> Calibration:
        """Statistics of the float graph on the windows that calibrate."""
        advance = counted(progress, "calibrating", self.calibration_samples)
        (name,) = self.graph.inputs
        batches = [{name: windows} for windows in self._batches(self.calibrating)]
        return calibrate(self.graph, batches, progress=advance)

    def quality(self, graph: Graph, method: str, progress: Progress) -> Quality:
        """See `Evaluation`."""
        import numpy as np

        found, scores = {}, {}
        for name, one in ((FLOAT, self.graph), (method, graph)):
            scores[name] = self._scores(name, one, progress)
            mean = float(scores[name][:, 0].mean())
            found[name] = math.exp(mean) if mean < LARGEST_EXPONENT else math.inf
        same = np.mean(scores[method][:, 1] == scores[FLOAT][:, 1])
        return Quality(
            measures=(
                Measure(
                    key="perplexity",
                    label="perplexity",
                    value=found[method],
                    spec=",.2f",
                    meaning=f"perplexity of the compressed model; {found[FLOAT]:,.2f} of fp32",
                ),
                Measure(key="perplexity_float", label="of fp32", value=found[FLOAT], spec=",.2f"),
                Measure(
                    key="perplexity_change",
                    label="change",
                    value=found[method] / found[FLOAT] - 1.0,
                    spec="+z.1f",
                    times=100.0,
                    unit=" %",
                ),
                Measure(
                    key="same_likeliest_token",
                    label="same token",
                    value=float(same),
                    spec=".1f",
                    times=100.0,
                    unit=" %",
                ),
            )
        )

    def _batches(self, windows: Array) -> list[Array]:
        """Windows that run together."""
        logits = self.graph.tensors[self.graph.outputs[0]].elements
        step = max(1, LOGITS_AT_ONCE // logits)
        return [windows[start : start + step] for start in range(0, len(windows), step)]

    def _scores(self, name: str, graph: Graph, progress: Progress) -> Array:
        """(windows, 2, tokens - 1): of each token but the first minus the logarithm of its
        probability in nats, and the token that the model held likeliest there."""
        import numpy as np

        key, parts = digest_of_graph(graph), []
        advance = counted(progress, f"running the {name} model", self.samples)
        for windows in self._batches(self.measured):
            whole = digest(key, windows.tobytes())
            compute = partial(scored, graph, windows)
            parts.append(self.stages.array(f"scores-{name}", whole, len(windows), compute))
            advance(len(windows))
        return np.concatenate(parts)


def scored(graph: Graph, ids: Array) -> Array:
    """See `TextEvaluation._scores`. ids: (windows, tokens)."""
    import numpy as np

    logits = execute(graph, {graph.inputs[0]: ids})[graph.outputs[0]]
    nats = [nats_of(one[:-1], window[1:]) for one, window in zip(logits, ids, strict=True)]
    likeliest = logits[:, :-1].argmax(axis=-1)
    return np.stack([np.stack(nats), likeliest.astype(np.float64)], axis=1)


def split(windows: Array) -> tuple[Array, Array]:
    """(calibration, evaluation): every third calibrates, the rest measures; one alone does both."""
    import numpy as np

    if len(windows) == 1:
        return windows, windows
    calibrating = np.arange(len(windows)) % EVERY_THIRD == 0
    return windows[calibrating], windows[~calibrating]


class Text:
    """See the module."""

    name = "text"
    description = "a decoder, by its perplexity on a text"

    def takes(self, model: Model) -> bool:
        """A decoder of one stack with a head."""
        config = model.config
        return (
            isinstance(config, Description)
            and Phase.DECODE in model.architecture.phases
            and config.head is not None
            and not config.crosses
        )

    def read(self, path: Path) -> tuple[tuple[str, ...], str]:
        """The whole file."""
        text = text_of(path, LARGEST_TEXT_BYTES)
        return (text,), f"one text of {len(text):,} characters"

    def weakness(self, texts: Sequence[str], calibration: Sequence[str] | None) -> str | None:
        """How many windows there are, the tokenizer knows."""
        return None

    def prepare(
        self,
        model: Path,
        seq_len: int,
        *,
        texts: Sequence[str],
        calibration: Sequence[str] | None,
        pairs: Pairs | None,
        stages: Stages,
    ) -> TextEvaluation:
        """Ids of the text in windows. Raises InputError."""
        if pairs is not None:
            raise InputError("--eval", "pairs of sentences measure encoders; this is a decoder")
        if seq_len < 2:
            raise InputError(
                "--seq-len", "is too short", got=seq_len, need="at least 2: a token is scored "
                "behind another",
            )  # fmt: skip
        found = load_decoder(model, Scenario.prefill(seq_len))
        encode = found.tokenizer.encode
        measured = windows_of(encode("\n".join(texts)), seq_len, "--data")
        if calibration is None:
            calibrating, measured = split(measured)
        else:
            calibrating = windows_of(encode("\n".join(calibration)), seq_len, "--calibrate")
        return TextEvaluation(
            name=found.name,
            graph=replace(found.graph, outputs=found.graph.outputs[1:2]),
            stages=stages,
            calibrating=spread(calibrating, CALIBRATION_WINDOWS),
            measured=spread(measured, MEASURED_WINDOWS),
        )


TASK = Text()
