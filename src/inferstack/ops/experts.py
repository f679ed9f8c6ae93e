"""What operators of a mixture of experts share: who goes where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def chosen(routes: Array, active: int) -> Array:
    """The experts of each token (batch, tokens, active), by number."""
    import numpy as np

    order = np.argsort(-routes, axis=-1, kind="stable")[..., :active]
    found: Array = np.sort(order, axis=-1)
    return found
