"""Which experts a token goes to, and with which weight: x (batch, tokens, experts) -> the same.

The weights of the `active` experts with the largest scores; 0 for all others. Scores are softmax or
sigmoid of x (attribute scoring), or "chosen": the softmax is over the chosen alone. A bias
(experts,) moves the choice and not the weight. With groups, only experts of the `open` best of them
are chosen from, a group by its best expert or, with a bias, by the sum of its best two. normalized:
weights sum to 1; factor multiplies them. No integer form.
Source: Fedus et al. 2022, arXiv:2101.03961; Jiang et al. 2024, arXiv:2401.04088; DeepSeek-AI 2024,
arXiv:2405.04434 and arXiv:2412.19437, equations 12 to 16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.experts import chosen
from inferstack.ops.rule import OUTPUT, IterationSpace, Rule, simple
from inferstack.ops.shares import sigmoid, softmax

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class RouteRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "route"
    unit: ClassVar[str | None] = "softmax"
    work: ClassVar[Work] = Work.OTHER
    whole_rows: ClassVar[bool] = True
    required: ClassVar[tuple[str, ...]] = ("x",)
    optional: ClassVar[tuple[str, ...]] = ("bias",)

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x, active = inputs["x"], int(attributes["active"])
        self.need(not x.dtype.is_integer, x.name, x.dtype.value, "floating point")
        self.need(len(x.shape) == 3, x.name, x.shape, "(batch, tokens, experts)")
        experts, groups = x.shape[2], int(attributes.get("groups", 1))
        even = groups >= 1 and experts % groups == 0
        self.need(even, x.name, groups, f"a number of groups that divides {experts} experts")
        opened = int(attributes["open"]) if groups > 1 else 1
        self.need(1 <= opened <= groups, x.name, opened, f"1 to {groups} open groups")
        most = experts // groups * opened
        self.need(1 <= active <= most, x.name, active, f"1 to {most} active experts")
        if "bias" in inputs:
            bias = inputs["bias"].shape
            self.need(bias == (experts,), x.name, bias, f"a bias for each of {experts} experts")
        return x.shape, x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element; each counts 5: a softmax's four, and a comparison."""
        names = ("batch", "m", "n")
        accesses = [simple("x", *names)]
        if "bias" in inputs:
            accesses.append(simple("bias", "n"))
        return IterationSpace(
            dims=tuple(zip(names, output.shape, strict=True)),
            accesses=(*accesses, simple(OUTPUT, *names)),
            flops_per_point=5,
        )

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x, active = inputs["x"], int(attributes["active"])
        scoring = str(attributes["scoring"])
        scores = sigmoid(x) if scoring == "sigmoid" else softmax(x)
        wanted = scores + inputs["bias"] if "bias" in inputs else scores
        groups = int(attributes.get("groups", 1))
        if groups > 1:
            grouped = wanted.reshape(*x.shape[:2], groups, -1)
            best = 2 if "bias" in inputs else 1
            worth = np.sort(grouped, axis=-1)[..., -best:].sum(axis=-1)
            shut = np.ones(worth.shape, dtype=np.bool_)
            np.put_along_axis(shut, chosen(worth, int(attributes["open"])), False, axis=-1)
            grouped = np.where(shut[..., None], -np.inf, grouped)
            wanted = grouped.reshape(x.shape)
        kept = np.zeros(x.shape, dtype=np.bool_)
        np.put_along_axis(kept, chosen(wanted, active), True, axis=-1)
        if scoring == "chosen":
            return softmax(np.where(kept, x, -np.inf))
        result: Array = np.where(kept, scores, 0)
        if attributes.get("normalized", False):
            result = result / (result.sum(axis=-1, keepdims=True) + 1e-20)
        return np.asarray(result * float(attributes.get("factor", 1.0)), dtype=x.dtype)


RULE = RouteRule()
