"""A WAV file as samples: uncompressed PCM of 8 to 32 bits, channels averaged, at any rate."""

from __future__ import annotations

import math
import sys
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import DataError
from inferstack.core.units import ceil_div

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

LARGEST_FILE_BYTES = 2**30
HIGHEST_RATE_HZ = 2**20
MOST_CHANNELS = 64
CONVERT = "ffmpeg -i FILE -c:a pcm_s16le -ar 16000 -ac 1 FILE.wav converts"
"""What makes a file of another tool readable."""


def read_wav(path: Path, rate_hz: int) -> Array:
    """Samples (n,) from -1 to 1 in float32, at `rate_hz`. Raises DataError."""
    import numpy as np

    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise DataError(str(path), what, need="a WAV file")
    try:
        if (size := path.stat().st_size) > LARGEST_FILE_BYTES:
            need = f"at most {LARGEST_FILE_BYTES:,}"
            raise DataError(str(path), "is too large", got=f"{size:,} bytes", need=need)
        with wave.open(str(path), "rb") as file:
            channels, width = file.getnchannels(), file.getsampwidth()
            own_hz, raw = file.getframerate(), file.readframes(file.getnframes())
    except OSError as failure:
        raise DataError(str(path), "cannot be read", got=failure.strerror) from None
    except (wave.Error, EOFError) as failure:
        got = str(failure) or "a file that ends too early"
        raise DataError(
            str(path), "is no WAV file that is read", got=got, need="uncompressed PCM", hint=CONVERT
        ) from None
    sound = 1 <= width <= 4 and 1 <= channels <= MOST_CHANNELS and 1 <= own_hz <= HIGHEST_RATE_HZ
    if not sound:
        got = f"{channels} channels of {8 * width} bits at {own_hz:,} Hz"
        raise DataError(str(path), "is no sound that is read", got=got, hint=CONVERT)
    raw = raw[: len(raw) // (channels * width) * channels * width]
    if not raw:
        raise DataError(str(path), "has no samples", need="at least one")
    if sys.byteorder == "big":  # pragma: no cover
        raise DataError(str(path), "is read on little-endian machines alone")
    samples = _numbers(raw, width).reshape(-1, channels).mean(axis=1)
    return resampled(samples, own_hz, rate_hz).astype(np.float32)


def _numbers(raw: bytes, width: int) -> Array:
    """Integers of `width` bytes as numbers from -1 to 1; those of one byte have no sign."""
    import numpy as np

    if width == 1:
        return (np.frombuffer(raw, dtype=np.uint8) - 128.0) / 128
    # The upper bytes of an int32, for 24 bits have no type.
    whole = np.zeros((len(raw) // width, 4), dtype=np.uint8)
    whole[:, 4 - width :] = np.frombuffer(raw, dtype=np.uint8).reshape(-1, width)
    return whole.view("<i4")[:, 0] / 2.0**31


def resampled(samples: Array, from_hz: int, to_hz: int) -> Array:
    """At another rate: what both rates can hold is kept, nothing else (an ideal filter)."""
    import numpy as np

    if from_hz == to_hz:
        return samples
    common = math.gcd(from_hz, to_hz)
    unit = from_hz // common
    # An ideal filter wraps around: silence at the end keeps the two ends apart.
    units = ceil_div(len(samples) + from_hz // 10, unit)
    padded = np.concatenate([samples, np.zeros(units * unit - len(samples))])
    count = units * (to_hz // common)
    spectrum = np.fft.rfft(padded)
    kept = np.zeros(count // 2 + 1, dtype=spectrum.dtype)
    both = min(len(kept), len(spectrum)) - 1
    kept[:both] = spectrum[:both]
    found: Array = np.fft.irfft(kept, count) * (count / len(padded))
    return found[: max(round(len(samples) * to_hz / from_hz), 1)]
