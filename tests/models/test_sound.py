"""Sounds: WAV files in every width, other rates, and Whisper's spectrogram of them."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.core.errors import CheckpointError, DataError
from inferstack.models.log_mel import FILE, LogMel, mel_filters, read_log_mel
from inferstack.models.wav_file import read_wav, resampled

Array = npt.NDArray[Any]


def sounds(seconds: float, rate: int = 16000) -> dict[str, Array]:
    """Noise, a chord over silence, and silence alone."""
    times = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 0.1, len(times))
    turns = 2 * np.pi * times[:, None] * np.array([220.0, 1500.0, 6000.0])
    chord = np.sin(turns).sum(axis=1) / 4
    chord[len(times) // 2 :] = 0
    return {"noise": noise, "chord": chord, "silence": np.zeros(len(times))}


def write(path: Path, samples: Array, width: int = 2, channels: int = 1, rate: int = 16000) -> Path:
    """samples (n,) or (n, channels) from -1 to 1."""
    top = 2.0 ** (8 * width - 1)
    whole = np.clip(np.round(samples * top), -top, top - 1).astype(np.int64)
    if width == 1:
        whole += 128
    raw = whole.reshape(-1)[:, None] >> (8 * np.arange(width))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes((raw & 255).astype(np.uint8).tobytes())
    return path


@pytest.mark.parametrize("kind", ["noise", "chord", "silence"])
@pytest.mark.parametrize(("seconds", "bands"), [(2.0, 80), (1.3, 128)])
def test_the_spectrogram_is_that_of_transformers(kind: str, seconds: float, bands: int) -> None:
    transformers = pytest.importorskip("transformers")
    samples = sounds(seconds)[kind].astype(np.float32)
    theirs = transformers.WhisperFeatureExtractor(feature_size=bands, chunk_length=2)
    found = LogMel(bands=bands, seconds=2).of(samples)
    padded = np.pad(samples, (0, 32000 - len(samples)))
    exact = theirs._np_extract_fbank_features(padded[None], "cpu")[0]
    np.testing.assert_allclose(found, exact, atol=1e-6)
    # By torch in float32, which is less exact where it is quiet.
    made = theirs(samples, sampling_rate=16000, return_tensors="np").input_features[0]
    assert found.shape == made.shape == (bands, 200)
    assert np.abs(found - made).max() < 1e-4


def test_mel_filters_are_those_of_transformers() -> None:
    audio = pytest.importorskip("transformers.audio_utils")
    theirs = audio.mel_filter_bank(201, 80, 0.0, 8000.0, 16000, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(mel_filters(201, 80, 16000), theirs, atol=1e-9)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_width_is_read(tmp_path: Path, width: int, channels: int) -> None:
    left = np.random.default_rng(width).uniform(-1, 1, 300)
    several = np.stack([left, -left / 3], axis=1)[:, :channels]
    path = write(tmp_path / "a.wav", several, width, channels)
    found = read_wav(path, 16000)
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, several.mean(axis=1), atol=1.1 * 2.0 ** (1 - 8 * width) + 1e-7
    )


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_another_rate_is_the_same_sound(tmp_path: Path, rate: int) -> None:
    def tone(hertz: int) -> Array:
        times = np.arange(hertz) / hertz
        fade = np.minimum(1, 20 * np.minimum(times, 1 - times))
        return np.asarray(0.5 * fade * np.sin(2 * np.pi * 700 * times))

    found = read_wav(write(tmp_path / "a.wav", tone(rate), 4, rate=rate), 16000)
    np.testing.assert_allclose(found, tone(16000), atol=1e-3)


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    high = np.sin(2 * np.pi * 12000 * np.arange(48000) / 48000)
    assert np.abs(resampled(high, 48000, 16000)[200:-200]).max() < 0.02
    assert len(resampled(high[:1], 48000, 16000)) == 1


FLOATS = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\3\0\1\0\0\x40\0\0\0\0\1\0\4\0\x20\0data\0\0\0\0"
"""Samples of floating point."""


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is no WAV file that is read; got a file that ends too early"),
        (b"ID3\x04 an mp3 by its first bytes", "is no WAV file that is read"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "is no WAV file that is read"),
        (FLOATS, "is no WAV file that is read"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=message) as caught:
        read_wav(path, 16000)
    assert "need uncompressed PCM" in str(caught.value)


def test_files_without_a_sound_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_wav(tmp_path / "absent.wav", 16000)
    with pytest.raises(DataError, match="is not a file"):
        read_wav(tmp_path, 16000)
    with pytest.raises(DataError, match="has no samples"):
        read_wav(write(tmp_path / "a.wav", np.zeros(0)), 16000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feature_size": 40}, "got 40 bands, 3,000 times, need 80 bands, 3,000 times"),
        ({"chunk_length": 20}, "got 80 bands, 2,000 times"),
        ({"do_normalize": True}, "do_normalize is not supported"),
        ({"dither": 0.1}, "dither is not supported"),
        ({"hop_length": 0}, "hop_length makes no sense"),
    ],
)
def test_a_spectrogram_of_another_model_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=f"has no {FILE}"):
        read_log_mel(tmp_path, 80, 3000)
    (tmp_path / FILE).write_text(json.dumps({"feature_size": 80, **settings}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        read_log_mel(tmp_path, 80, 3000)
