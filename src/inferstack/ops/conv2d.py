"""Two-dimensional convolution (cross-correlation) of x (batch, channels, height, width).

weight (n, channels / groups, rows, columns), bias (n,) -> (batch, n, p, q). Attributes stride,
padding, dilation, of both axes, and groups; row_padding, of rows, where they have another one (a
signal is an image of one row); end_padding, behind the last column, where that is another one. No
integer form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, Access, Affine, IterationSpace, Rule, simple
from inferstack.ops.windows import sliding, windows

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class Conv2dRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "conv2d"
    work: ClassVar[Work] = Work.MATMUL
    required: ClassVar[tuple[str, ...]] = ("x", "weight")
    optional: ClassVar[tuple[str, ...]] = ("bias",)

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, weight = inputs["x"], inputs["weight"]
        stride, padding, dilation, groups = _numbers(attributes)
        self.need(len(x.shape) == len(weight.shape) == 4, x.name, (x.shape, weight.shape), "4 axes")
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        sound = min(stride, dilation, groups) > 0 <= _end_padding(attributes) <= padding
        self.need(sound, x.name, dict(attributes), "a stride, a dilation, groups, no negative")
        self.need(
            weight.shape[1] * groups == x.shape[1] and weight.shape[0] % groups == 0,
            x.name,
            (x.shape, weight.shape),
            f"channels that {groups} groups divide",
        )
        if "bias" in inputs:
            need = weight.shape[:1]
            self.need(inputs["bias"].shape == need, x.name, inputs["bias"].shape, need)
        sizes = tuple(
            (size + around - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, around in zip(
                x.shape[2:],
                weight.shape[2:],
                (2 * _row_padding(attributes), padding + _end_padding(attributes)),
                strict=True,
            )
        )
        self.need(min(sizes) > 0, x.name, x.shape, f"at least one window of {weight.shape[2:]}")
        return (x.shape[0], weight.shape[0], *sizes), x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per multiply-accumulate, those with the zeros of the padding included.

        g: group, n and c: output and input channel in the group, p and q: output row and column,
        r and s: row and column of the kernel.
        """
        stride, padding, dilation, groups = _numbers(attributes)
        n, c, r, s = inputs["weight"].shape
        batch, _, p, q = output.shape
        n //= groups
        first, channel = Affine((("batch", 1),)), Affine((("g", n), ("n", 1)))
        height, width = inputs["x"].shape[2:]
        rows = sliding("p", "r", stride, dilation, _row_padding(attributes), height)
        columns = sliding("q", "s", stride, dilation, padding, width)
        accesses = [
            Access(slot="x", indices=(first, Affine((("g", c), ("c", 1))), rows, columns)),
            Access(slot="weight", indices=(channel, *simple("weight", "c", "r", "s").indices)),
        ]
        if "bias" in inputs:
            accesses.append(Access(slot="bias", indices=(channel,)))
        written = (first, channel, *simple(OUTPUT, "p", "q").indices)
        extents = (batch, groups, n, p, q, c, r, s)
        names = ("batch", "g", "n", "p", "q", "c", "r", "s")
        return IterationSpace(
            dims=tuple(zip(names, extents, strict=True)),
            accesses=(*accesses, Access(slot=OUTPUT, indices=written)),
            reductions=frozenset({"c", "r", "s"}),
            macs_per_point=1,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x, weight = inputs["x"], inputs["weight"]
        stride, padding, dilation, groups = _numbers(attributes)
        paddings = (_row_padding(attributes), padding)
        seen = windows(x, weight.shape[2], weight.shape[3], stride, paddings, dilation, 0.0)
        reach = dilation * (weight.shape[3] - 1) + 1
        columns = x.shape[3] + padding + _end_padding(attributes)
        seen = seen[:, :, :, : (columns - reach) // stride + 1]
        batch, _, p, q = seen.shape[:4]
        parts = []
        for group, kernel in enumerate(np.split(weight, groups)):
            channels = seen[:, group * weight.shape[1] : (group + 1) * weight.shape[1]]
            rows = channels.transpose(0, 2, 3, 1, 4, 5).reshape(batch * p * q, -1)
            flat = rows @ kernel.reshape(kernel.shape[0], -1).T
            parts.append(flat.reshape(batch, p, q, -1))
        result: Array = np.concatenate(parts, axis=3).transpose(0, 3, 1, 2)
        return result + inputs["bias"][:, None, None] if "bias" in inputs else result


def _row_padding(attributes: Mapping[str, Any]) -> int:
    """The padding of rows."""
    return int(attributes.get("row_padding", attributes.get("padding", 0)))


def _end_padding(attributes: Mapping[str, Any]) -> int:
    """The padding behind the last column."""
    return int(attributes.get("end_padding", attributes.get("padding", 0)))


def _numbers(attributes: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Stride, padding, dilation, groups."""
    return (
        int(attributes.get("stride", 1)),
        int(attributes.get("padding", 0)),
        int(attributes.get("dilation", 1)),
        int(attributes.get("groups", 1)),
    )


RULE = Conv2dRule()
