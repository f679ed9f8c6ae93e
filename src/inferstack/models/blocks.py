"""What Transformers share: weights by name, dense layers, norms, attention; and names of parts."""

from __future__ import annotations

from collections.abc import Mapping

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Attribute, TensorRole
from inferstack.models.architecture import WeightSource
from inferstack.ops.builder import GraphBuilder

PROJECTION = "attention projection"
ATTENTION = "attention"
FEED_FORWARD = "feed-forward"
OTHER = "other"
EMBEDDING = "embedding"
HEAD = "head"


class BlockBuilder:
    """Adds one block after the other to `builder`.

    repeats: how many times the model holds what is added from now on.
    """

    def __init__(self, name: str, weights: WeightSource) -> None:
        self.builder = GraphBuilder(name)
        self.weights = weights
        self.repeats = 1

    def add(
        self,
        kind: str,
        name: str,
        inputs: Mapping[str, str],
        attributes: Mapping[str, Attribute] | None = None,
        *,
        part: str = OTHER,
    ) -> str:
        """Append an operator; returns its name, which is its output's."""
        return self.builder.add(kind, name, inputs, attributes, part=part, repeats=self.repeats)

    def weight(self, name: str, *shape: int) -> str:
        """Declare a weight."""
        data = self.weights(name, shape)
        return self.builder.tensor(name, shape, DType.FLOAT32, TensorRole.WEIGHT, data)

    def dense(
        self, name: str, x: str, rows: int, columns: int, part: str, *, bias: bool = True
    ) -> str:
        """x W + b with W (rows, columns)."""
        inputs = {"a": x, "b": self.weight(f"{name}.weight", rows, columns)}
        if bias:
            inputs["bias"] = self.weight(f"{name}.bias", columns)
        return self.add("matmul", name, inputs, part=part)

    def layernorm(self, name: str, x: str, width: int, epsilon: float, part: str = OTHER) -> str:
        """LayerNorm over the last axis, `width` long."""
        inputs = {
            "x": x,
            "gamma": self.weight(f"{name}.gamma", width),
            "beta": self.weight(f"{name}.beta", width),
        }
        return self.add("layernorm", name, inputs, {"epsilon": epsilon}, part=part)

    def attend(
        self,
        name: str,
        operands: tuple[str, str, str],
        heads: tuple[int, int],
        width: int,
        *,
        mask: str | None = None,
        causal: bool = False,
    ) -> str:
        """softmax(Q K^T / sqrt(width)) V.

        operands: query, key, value. heads: of the query, and of key and value. width: of a head.
        """
        query, key, value = operands
        numbers = {"heads": heads[0], "kv_heads": heads[1]}
        scores = self.add(
            "attention_scores",
            f"{name}.scores",
            {"query": query, "key": key},
            {**numbers, "scale": width**-0.5},
            part=ATTENTION,
        )
        inputs = {"x": scores} if mask is None else {"x": scores, "mask": mask}
        probabilities = self.add("softmax", f"{name}.softmax", inputs, {"causal": causal})
        inputs = {"probabilities": probabilities, "value": value}
        return self.add("attention_context", f"{name}.context", inputs, numbers, part=ATTENTION)
