"""`transcribed`: what is said in a sound, window by window, each cut where it is quietest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inferstack.core.progress import Progress, silent
from inferstack.generate.sampling import Sampling
from inferstack.generate.source import Reader, Source
from inferstack.generate.text import Generation
from inferstack.models.generation_config import Rules
from inferstack.models.log_mel import LogMel
from inferstack.models.scenario import LARGEST
from inferstack.models.speech_tokens import SpeechTokens
from inferstack.models.text_tokenizer import TextTokenizer

Array = npt.NDArray[Any]
SEARCHED_S = 5
"""At the end of a window, where it may be cut."""
FRAME_S, PAUSE_FRAMES = 0.02, 10
"""A pause is so many frames long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A window of a sound. ids: those written, with the end token."""

    start_s: float
    end_s: float
    text: str
    ids: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Listener:
    """A model that hears, ready to run."""

    reader: Reader
    tokenizer: TextTokenizer
    rules: Rules
    tokens: SpeechTokens
    log_mel: LogMel

    def transcribed(
        self,
        samples: Array,
        *,
        language: str | None,
        task: str,
        max_tokens: int | None,
        progress: Progress = silent,
    ) -> tuple[Said, ...]:
        """samples (n,) at the model's rate. language: heard in the first window where it is None.
        max_tokens: of a window. Raises InputError."""
        spoken = None if language is None else self.tokens.language(language)
        self.tokens.prompt(spoken, task)
        rate, found = self.log_mel.rate_hz, list[Said]()
        progress("transcribing", 0, len(samples))
        for start, end in windows(samples, rate, self.log_mel.samples):
            source = self.reader.hear(self.log_mel.of(samples[start:end]))
            if spoken is None and self.tokens.languages:
                spoken = self._heard(source)
            written = Generation(
                source,
                self.tokenizer,
                self.tokens.prompt(spoken, task),
                max_tokens=LARGEST if max_tokens is None else max_tokens,
                sampling=Sampling(),
                rules=self.rules,
            )
            text = "".join(written).strip()
            said = Said(start_s=start / rate, end_s=end / rate, text=text, ids=tuple(written.ids))
            found.append(said)
            progress("transcribing", end, len(samples))
        return tuple(found)

    def _heard(self, source: Source) -> int:
        """The language that is likeliest behind the start."""
        logits = source.start(1).feed([self.tokens.start])[-1]
        known = sorted(self.tokens.languages.values())
        return known[int(logits[known].argmax())]


def windows(samples: Array, rate_hz: int, longest: int) -> Iterator[tuple[int, int]]:
    """Starts and ends of parts of at most `longest` samples, cut in the quietest pause of the last
    seconds of each."""
    frame = max(int(FRAME_S * rate_hz), 1)
    start = 0
    while len(samples) - start > longest:
        searched = min(SEARCHED_S * rate_hz, longest // 2)
        begin = start + longest - searched
        count = searched // frame
        parts = samples[begin : begin + count * frame].astype(np.float64).reshape(count, frame)
        pause = np.ones(min(PAUSE_FRAMES, count))
        loudness = np.convolve((parts**2).sum(axis=1), pause, mode="valid")
        end = begin + int((loudness.argmin() + len(pause) / 2) * frame)
        yield start, end
        start = end
    yield start, len(samples)
