"""One unit per channel of an activation: how much of its range to migrate into the weights.

LayerNorm and GELU write each channel with a multiplier of its own, so a unit per channel costs
nothing there; the matmuls that read it take the units into the rows of their weights, and residual
adds into their tables. Large units for channels of large range save the small channels' precision,
and cost the weights theirs.
Source: SmoothQuant, Xiao et al. 2023, arXiv:2211.10438, equation 4, which fixes the exponent; here
it is the one of least predicted error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferstack.compress.calibration import Statistics
from inferstack.ops.quantization import INT8_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Scale = npt.NDArray[np.float64]

EXPONENTS = 21
REACH_FLOOR = 0.1
"""A channel's range counts as at least this part of the tensor's: headroom for sentences unlike the
calibration's. On 1,500 sentences the worst cosine is 0.909 at 1e-4, 0.957 at 0.03, 0.980 at 0.1."""
ROW_FLOOR = 1e-3


def balanced_scale(
    statistics: Statistics, readers: Sequence[Array], residual: bool, levels: int = INT8_MAX
) -> Scale:
    """The scale (channels,) of least predicted error over the exponents 0, 0.05 ... 1.

    unit_j ~ range_j^e / row_j^(1 - e), row_j the largest magnitude of row j over all readers, each
    relative to its own largest. readers: the weights (channels, n). residual: an add reads it too.
    levels: the largest integer that an activation may become.
    """
    import numpy as np

    absmax = statistics.absmax or 1.0
    reach = np.maximum(statistics.channel_absmax, REACH_FLOOR * absmax)
    rows = [np.abs(weight).max(axis=1) / np.abs(weight).max() for weight in readers if weight.any()]
    row = np.maximum(np.max(rows, axis=0), ROW_FLOOR) if rows else np.ones_like(reach)
    best: Scale = reach / levels
    least = np.inf
    for exponent in np.linspace(0, 1, EXPONENTS):
        unit = reach**exponent / row ** (1 - exponent)
        scale = unit * (reach / unit).max() / levels
        error = predicted_error(scale, statistics.channel_square, readers, residual)
        if error < least:
            best, least = scale, error
    return best


def predicted_error(scale: Scale, square: Scale, readers: Sequence[Array], residual: bool) -> float:
    """Error power over signal power, summed over the readers, of rounding activation and weight.

    Rounding a unit u costs u^2 / 12, or the whole channel where that is less; channels and errors
    count as uncorrelated. square: the channels' mean square.
    """
    import numpy as np

    rounding = np.minimum(scale**2 / 12, square)
    total = float(rounding.sum() / square.sum()) if residual and square.any() else 0.0
    for weight in readers:
        folded = weight * scale[:, None]
        step = np.abs(folded).max(axis=0) / INT8_MAX
        power = np.einsum("jn,jn->j", weight, weight)
        signal = float(square @ power)
        if signal > 0:
            activation = float(rounding @ power)
            weights = float((square / scale**2).sum() * (step**2).sum() / 12)
            total += (activation + weights) / signal
    return total
