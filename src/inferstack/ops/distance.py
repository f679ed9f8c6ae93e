"""How far apart queries and keys stand, where the queries are the last tokens of the context."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def key_ahead(tokens: int, context: int) -> npt.NDArray[np.int64]:
    """(tokens, context): the position of the key less that of the query."""
    import numpy as np

    query = np.arange(context - tokens, context)
    ahead: npt.NDArray[np.int64] = np.arange(context) - query[:, None]
    return ahead
