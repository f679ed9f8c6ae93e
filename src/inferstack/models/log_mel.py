"""Whisper's ears: samples to a log-mel spectrogram, as preprocessor_config.json says.

Source: Radford et al. 2022, arXiv:2212.04356, section 2.2; transformers, models/whisper and
audio_utils.py; the mel scale and the areas of the filters are those of Slaney's Auditory Toolbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.models.config_file import ConfigFile, read_object

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

FILE = "preprocessor_config.json"
HIGHEST_HZ = 8000.0
FLOOR = 1e-10
RANGE = 8.0
"""Powers of ten below the loudest: what is quieter counts as that."""
LINEAR_HZ, LINEAR_MELS = 1000.0, 15.0
"""Up to here mels are proportional to frequency, then to its logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMel:
    """bands: mel filters. window, hop: samples. seconds: of a whole spectrogram."""

    bands: int
    rate_hz: int = 16000
    window: int = 400
    hop: int = 160
    seconds: int = 30

    @property
    def samples(self) -> int:
        """That a spectrogram is made of."""
        return self.seconds * self.rate_hz

    @property
    def times(self) -> int:
        """Of a spectrogram."""
        return self.samples // self.hop

    def of(self, samples: Array) -> Array:
        """The spectrogram (bands, times) of at most `samples` samples, silence behind them."""
        import numpy as np

        padded = np.zeros(self.samples)
        padded[: len(samples)] = samples
        framed = np.pad(padded, self.window // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(framed, self.window)[:: self.hop]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        # The last frame is left out.
        power = np.abs(np.fft.rfft(frames[: self.times] * hann)) ** 2
        mels = mel_filters(self.window // 2 + 1, self.bands, self.rate_hz).T @ power.T
        logs = np.log10(np.maximum(mels, FLOOR))
        logs = np.maximum(logs, logs.max() - RANGE)
        return np.asarray((logs + 4) / 4, dtype=np.float32)


def mel_filters(frequencies: int, bands: int, rate_hz: int) -> Array:
    """Triangles (frequencies, bands) of equal area, equally far apart in mels."""
    import numpy as np

    step = np.log(6.4) / 27
    top = LINEAR_MELS + np.log(HIGHEST_HZ / LINEAR_HZ) / step
    mels = np.linspace(0, top, bands + 2)
    high = LINEAR_HZ * np.exp(step * (mels - LINEAR_MELS))
    edges = np.where(mels < LINEAR_MELS, LINEAR_HZ / LINEAR_MELS * mels, high)
    away = edges[None, :] - np.linspace(0, rate_hz // 2, frequencies)[:, None]
    widths = np.diff(edges)
    rising, falling = -away[:, :-2] / widths[:-1], away[:, 2:] / widths[1:]
    heights = 2 / (edges[2:] - edges[:-2])
    found: Array = np.maximum(0, np.minimum(rising, falling)) * heights
    return found


def read_log_mel(folder: Path, bands: int, times: int) -> LogMel:
    """bands, times: of what the model's encoder reads. Raises CheckpointError."""
    content = read_object(folder, FILE)
    if content is None:
        raise CheckpointError(
            str(folder), f"has no {FILE}", need="how sound becomes a spectrogram",
            hint="WhisperFeatureExtractor(...).save_pretrained(folder) of transformers writes it",
        )  # fmt: skip
    file = ConfigFile(str(folder / FILE), content)
    file.only("do_normalize", False)
    if file.number_or("dither", 0.0, 0.0, 1.0):
        raise CheckpointError(file.where, "dither is not supported", need="0")
    made = LogMel(
        bands=file.whole_or("feature_size", 80, 2**12),
        rate_hz=file.whole_or("sampling_rate", 16000, 2**20, least=1000),
        window=file.whole_or("n_fft", 400, 2**16, least=2),
        hop=file.whole_or("hop_length", 160, 2**16),
        seconds=file.whole_or("chunk_length", 30, 3600),
    )
    if (made.bands, made.times) != (bands, times):
        raise CheckpointError(
            file.where, "makes other spectrograms than config.json says",
            got=f"{made.bands:,} bands, {made.times:,} times",
            need=f"{bands:,} bands, {times:,} times",
        )  # fmt: skip
    return made
