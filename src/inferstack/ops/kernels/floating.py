"""Compiled floating-point kernels: functions that numpy lacks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.compiled import compiled

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@compiled
def _gelu_into(x: Array, out: Array) -> None:
    """x, out (n,): x Phi(x) by the error function, in float64."""
    for i in range(x.shape[0]):
        value = float(x[i])
        out[i] = 0.5 * value * (1.0 + math.erf(value * math.sqrt(0.5)))


def gelu(x: Array) -> Array:
    """Exact GELU of any shape, in the type of `x`."""
    out = np.empty_like(x, order="C")
    _gelu_into(np.ascontiguousarray(x).reshape(-1), out.reshape(-1))
    return out
