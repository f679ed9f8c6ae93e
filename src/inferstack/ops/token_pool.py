"""One vector of a sentence's attended tokens: x (batch, tokens, d), mask (batch, tokens) -> (batch,
d).

mode: first or last, that token; max, the largest of each column; mean_sqrt_len, the sum over the
root of the number of tokens; weighted_mean, the mean with the number of each token as its weight,
from 1 at the first attended one. A sentence without attended tokens gives zeros. No integer form.
Source: sentence-transformers, models/Pooling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor
from inferstack.ops.mean_pool import MeanPoolRule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

MODES = ("first", "last", "max", "mean_sqrt_len", "weighted_mean")


class TokenPoolRule(MeanPoolRule):
    """See the module; shapes and loops are those of the mean."""

    kind: ClassVar[str] = "token_pool"
    unit: ClassVar[str | None] = "mean_pool"

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        mode = attributes.get("mode")
        self.need(mode in MODES, inputs["x"].name, mode, f"a mode of {', '.join(MODES)}")
        return super().infer(inputs, attributes)

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x, seen, mode = inputs["x"], inputs["mask"] != 0, attributes["mode"]
        any_seen = seen.any(axis=1)[:, None]
        if mode == "max":
            largest = np.where(seen[:, :, None], x, -np.inf).max(axis=1)
            return np.where(any_seen, largest, 0).astype(x.dtype)
        first = seen.argmax(axis=1)
        if mode in ("first", "last"):
            last = seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
            token = x[np.arange(len(x)), first if mode == "first" else last]
            return np.where(any_seen, token, 0).astype(x.dtype)
        weights = seen.astype(x.dtype)
        if mode == "weighted_mean":
            weights *= np.arange(1, x.shape[1] + 1, dtype=x.dtype) - first[:, None]
        total = weights.sum(axis=1, keepdims=True)
        total[total == 0] = 1
        divisor = np.sqrt(total) if mode == "mean_sqrt_len" else total
        result: Array = (x * weights[:, :, None]).sum(axis=1) / divisor
        return result


RULE = TokenPoolRule()
