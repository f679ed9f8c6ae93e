"""Numbers between 0 and 1 out of any: sigmoid and softmax in floating point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)); exactly 0 where exp(-x) is beyond the type."""
    import numpy as np

    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)), dtype=x.dtype)


def softmax(x: Array) -> Array:
    """Over the last axis; a row needs a finite number."""
    import numpy as np

    result: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    result /= result.sum(axis=-1, keepdims=True)
    return result
