"""Sliding windows over images, for convolution and pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferstack.ops.rule import Affine

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def windows(
    x: Array,
    rows: int,
    columns: int,
    stride: int,
    padding: int | tuple[int, int],
    dilation: int,
    outside: float,
) -> Array:
    """A view (batch, channels, p, q, rows, columns) of x (batch, channels, height, width).

    padding: of both axes, or of rows and of columns. outside: the value of what lies there.
    """
    import numpy as np

    above, beside = padding if isinstance(padding, tuple) else (padding, padding)
    margin = ((0, 0), (0, 0), (above, above), (beside, beside))
    padded = np.pad(x, margin, constant_values=outside) if above or beside else x
    reach = ((rows - 1) * dilation + 1, (columns - 1) * dilation + 1)
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    return view[:, :, ::stride, ::stride, ::dilation, ::dilation]


def sliding(outer: str, inner: str, stride: int, dilation: int, padding: int, size: int) -> Affine:
    """The index of an axis of `size` elements that windows slide along, `padding` on both sides."""
    terms = ((outer, stride), (inner, dilation))
    return Affine(terms, offset=-padding, size=size) if padding else Affine(terms)
