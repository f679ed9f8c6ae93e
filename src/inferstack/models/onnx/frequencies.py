"""How fast pairs turn, out of tables of angles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

SAME_ANGLE = 2e-4
"""Rounding of a table in float32."""


def refined(first: Array, sines: Array) -> Array:
    """Frequencies of a table of sines, from ever later rows."""
    import numpy as np

    found, row = first, 1
    while 2 * row < len(sines):
        row *= 2
        near = found * row
        turn = np.round(near / np.pi)
        angle = turn * np.pi + np.where(turn % 2 == 0, 1, -1) * np.arcsin(
            np.clip(sines[row], -1, 1)
        )
        steep = np.abs(np.cos(near)) > 0.3
        found = np.where(steep, angle / row, found)
    return found


def told(frequencies: Array) -> dict[str, Any]:
    """As theta where they are its powers, else one by one."""
    import numpy as np

    pairs = len(frequencies)
    falls = pairs > 1 and (np.diff(frequencies) < 0).all() and frequencies[-1] > 0
    if falls and abs(frequencies[0] - 1) < SAME_ANGLE:
        theta = float(frequencies[-1] ** (-pairs / (pairs - 1)))
        theta = float(round(theta)) if theta > 100 else theta
        rounded = float(f"{theta:.4g}")
        for one in (rounded, theta):
            usual = one ** -(np.arange(pairs) / pairs)
            if np.allclose(usual, frequencies, rtol=1e-5):
                return {"theta": one}
    return {"frequencies": tuple(float(f) for f in frequencies)}


def frequencies_of(cosines: Array, sines: Array) -> dict[str, Any] | None:
    """What gives these tables, from position 0 on."""
    import numpy as np

    amplitude = float(np.hypot(cosines[0], sines[0]).mean())
    if len(cosines) < 2 or amplitude < 1e-3 or np.abs(sines[0]).max() > 1e-6:
        return None
    cosines, sines = cosines / amplitude, sines / amplitude
    found = refined(np.arctan2(sines[1], cosines[1]), sines)
    angles = np.arange(len(cosines))[:, None] * found
    if not np.allclose(np.cos(angles), cosines, atol=1e-3) or not np.allclose(
        np.sin(angles), sines, atol=1e-3
    ):
        return None
    says = told(found)
    return says if abs(amplitude - 1) < 1e-5 else says | {"amplitude": amplitude}
