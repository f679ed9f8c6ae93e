"""What the blocks of a described model share: weights by name, norms, the cache."""

from __future__ import annotations

from collections.abc import Mapping

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Attribute, TensorRole
from inferstack.models.architecture import WeightSource
from inferstack.models.blocks import OTHER, BlockBuilder
from inferstack.models.description import Description, Norm
from inferstack.models.scenario import Phase, Scenario

WORDS = "embedding.word"
"""The table of words, which several stacks share."""


class DescribedBuilder(BlockBuilder):
    """Builds blocks of `description` for `scenario`. stack: in front of the names of weights.
    place: in front of those of operators, where the graph has several stacks."""

    def __init__(
        self,
        name: str,
        description: Description,
        scenario: Scenario,
        weights: WeightSource,
        stack: str = "",
        place: str = "",
    ) -> None:
        super().__init__(name, weights)
        self.description, self.scenario = description, scenario
        self.stack, self.place = stack, place
        self.remembered: list[str] = []

    def add(
        self,
        kind: str,
        name: str,
        inputs: Mapping[str, str],
        attributes: Mapping[str, Attribute] | None = None,
        *,
        part: str = OTHER,
    ) -> str:
        """Append an operator; returns its name, with the stack's place in front."""
        return super().add(kind, f"{self.place}{name}", inputs, attributes, part=part)

    def weight(self, name: str, *shape: int) -> str:
        """Declare a weight; layers that share theirs have those of the first."""
        of_layer = name.startswith("layer")
        if self.description.shared and of_layer:
            name = f"layer0.{name.partition('.')[2]}"
        if name != WORDS:
            name = f"{self.stack}{name}"
        if self.description.shared or not of_layer:
            self.builder.shared.add(name)
        if name in self.builder.tensors:
            return name
        return super().weight(name, *shape)

    def norm(
        self, name: str, norm: Norm, x: str, *, width: int | None = None, part: str = OTHER
    ) -> str:
        """A norm over the last axis, or over each head of `width` elements."""
        width = width or self.description.hidden
        if norm.gain:
            gamma = self.weight(f"{name}.gamma", width)
        else:
            gamma = self._ones(f"{name}.gamma", width)
        inputs = {"x": x, "gamma": gamma}
        if norm.kind == "layernorm" and norm.bias:
            inputs["beta"] = self.weight(f"{name}.beta", width)
        return self.add(norm.kind, name, inputs, {"epsilon": norm.epsilon}, part=part)

    def _ones(self, name: str, width: int) -> str:
        import numpy as np

        data = np.ones(width, dtype=np.float32)
        return self.builder.tensor(name, (width,), DType.FLOAT32, TensorRole.CONSTANT, data)

    def remember(self, name: str, slot: str, x: str) -> str:
        """The keys or values of all tokens so far: `x`, of the new ones, behind the cache.

        slot: "key" or "value", the key first. Without earlier tokens a prompt's are all there are.
        An encoder remembers nothing.
        """
        if not self.description.writes:
            return x
        batch, context = self.scenario.batch, self.scenario.context_tokens
        if self.scenario.phase is Phase.PREFILL and not context:
            self.remembered.append(x)
            return x
        shape = (batch, context, self.builder.tensors[x].shape[2])
        cache = self.builder.tensor(f"{name}.{slot}_cache", shape, DType.FLOAT32, TensorRole.CACHE)
        both = self.add("append_cache", f"{name}.{slot}s", {"cache": cache, "x": x})
        self.remembered.append(both)
        return both
