"""Softmax over the last axis of x (batch, heads, tokens, context).

mask (batch, context): 0 = not attended, gives exactly 0; a row without any attended position gives
zeros. causal: query i sees keys up to context - tokens + i; window: of those the last ones alone,
or without causal as many to both sides. sinks (heads,): a number that stands in every row of its
head and takes its share of the sum. Integer: i-softmax, where
the sum of each row stands for 1 (docs/integer.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.distance import key_ahead
from inferstack.ops.rule import OUTPUT, IterationSpace, Rule, simple

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class SoftmaxRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "softmax"
    work: ClassVar[Work] = Work.SOFTMAX
    whole_rows: ClassVar[bool] = True
    required: ClassVar[tuple[str, ...]] = ("x",)
    optional: ClassVar[tuple[str, ...]] = ("mask", "sinks", "multiplier", "shift")
    pairs: ClassVar[tuple[str, str] | None] = ("d2", "d3")

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        self.need(len(x.shape) == 4, x.name, x.shape, "(batch, heads, tokens, context)")
        if "mask" in inputs:
            need = (x.shape[0], x.shape[3])
            self.need(inputs["mask"].shape == need, x.name, inputs["mask"].shape, need)
        if "sinks" in inputs:
            self.need(
                inputs["sinks"].shape == x.shape[1:2], x.name, x.shape, "a sink for each head"
            )
        return x.shape, DType.INT8 if x.dtype.is_integer else x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element; each counts 4: maximum, exponential, sum, division.

        Source: derived from Kim et al. 2023, arXiv:2302.14017, Table 3.
        """
        names = tuple(f"d{axis}" for axis in range(len(output.shape)))
        accesses = [simple("x", *names)]
        if "mask" in inputs:
            accesses.append(simple("mask", "d0", "d3"))
        if "sinks" in inputs:
            accesses.append(simple("sinks", "d1"))
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(*accesses, simple(OUTPUT, *names)),
            flops_per_point=4,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        tokens, context = x.shape[2:]
        seen = np.ones((1, 1, tokens, context), dtype=np.bool_)
        if "mask" in inputs:
            seen = seen & (inputs["mask"] != 0)[:, None, None, :]
        if attributes.get("causal", False):
            seen = seen & np.tri(tokens, context, context - tokens, dtype=np.bool_)
        window = int(attributes.get("window", 0))
        if window:
            seen = seen & (np.abs(key_ahead(tokens, context)) < window)
        result: Array = np.where(seen, x, np.finfo(x.dtype).min)
        sinks = inputs["sinks"][None, :, None, None] if "sinks" in inputs else None
        most = result.max(axis=-1, keepdims=True)
        if sinks is not None:
            most = np.maximum(most, sinks)
        with np.errstate(over="ignore"):
            result -= most
        np.exp(result, out=result)
        # A row without any attended position has exponentials of 1 until here.
        result *= seen
        total = result.sum(axis=-1, keepdims=True)
        if sinks is not None:
            total += np.exp(sinks - most)
        total[total == 0] = 1
        result /= total
        return result

    def integer_reference(
        self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]
    ) -> Array:
        """i-softmax."""
        from inferstack.ops.kernels import reference

        return reference.softmax(inputs, attributes)


RULE = SoftmaxRule()
