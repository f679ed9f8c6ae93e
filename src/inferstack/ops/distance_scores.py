"""Scores plus those of the distance between query and key: x (batch, heads, tokens, tokens).

by_row (batch, heads, tokens, rows): what each query, or with of_keys each key, scores with each row
of a table of distances; row rows / 2 is of distance 0. The element of query i and key j takes the
row of i - j, or of j - i with `ahead`, the outermost one beyond either end. With buckets,
distances of at least buckets / 2 share rows on a logarithmic scale up to `longest`. No integer
form.
Source: He et al. 2020, arXiv:2006.03654, equation 4; He et al. 2021, arXiv:2111.09543, and
transformers, models/deberta_v2, for the buckets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.elementwise import ElementwiseRule

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class DistanceScoresRule(ElementwiseRule):
    """See the module."""

    kind: ClassVar[str] = "distance_scores"
    pairs: ClassVar[tuple[str, str] | None] = ("d2", "d3")
    unit: ClassVar[str | None] = "add"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x", "by_row")
    flops: ClassVar[int] = 1
    """One sum; the elements of by_row that are picked are not counted."""

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, rows = inputs["x"], inputs["by_row"]
        result = super().infer(inputs, attributes)
        square = len(x.shape) == 4 and x.shape[2] == x.shape[3]
        self.need(square, x.name, x.shape, "(batch, heads, tokens, tokens)")
        fits = len(rows.shape) == 4 and rows.shape[:3] == x.shape[:3]
        self.need(fits, x.name, rows.shape, (*x.shape[:3], "rows"))
        return result

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x, by_row = inputs["x"], inputs["by_row"]
        token = np.arange(x.shape[2])
        query, key = token[:, None], token[None, :]
        distance = key - query if attributes.get("ahead", False) else query - key
        buckets = int(attributes.get("buckets", 0))
        if buckets:
            distance = _bucket(distance, buckets, int(attributes["longest"]))
        rows = by_row.shape[3]
        row = np.clip(distance + rows // 2, 0, rows - 1)
        result: Array = x + by_row[:, :, key if attributes.get("of_keys") else query, row]
        return result


def _bucket(distance: Array, buckets: int, longest: int) -> Array:
    """Near distances as they are, far ones on a logarithmic scale."""
    import numpy as np

    middle = buckets // 2
    # In float32, as the weights' own code: a rounding decides at the edges of buckets.
    far = np.maximum(np.abs(distance), middle).astype(np.float32)
    scale = np.log(np.float32((longest - 1) / middle))
    shared = np.ceil(np.log(far / np.float32(middle)) / scale * np.float32(middle - 1)) + middle
    near = np.abs(distance) <= middle
    found: Array = np.where(near, distance, shared.astype(np.int64) * np.sign(distance))
    return found


RULE = DistanceScoresRule()
