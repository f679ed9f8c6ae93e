"""What decoders share: phases, the cache of keys and values, the loop over layers, the head.

Inputs: ids (batch, new tokens) int64 and, behind earlier tokens, for each layer its key_cache and
value_cache (batch, context, kv_heads * width). Outputs: the last hidden state (batch, new, d), the
logits (batch, new, vocabulary) of every new token, then for each layer the keys and the values of
all tokens so far, which are the caches of the next pass (`caches_of`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from inferstack.core.dtypes import DType
from inferstack.core.errors import InputError
from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.architecture import WeightSource
from inferstack.models.blocks import HEAD, BlockBuilder
from inferstack.models.scenario import Phase, Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

PHASES = (Phase.PREFILL, Phase.DECODE)
FINAL_NORM = "final_norm"
LOGITS = "logits"


def caches_of(graph: Graph, results: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The caches to feed to the next pass, out of the results of a pass of `graph`."""
    _, _, *remembered = graph.outputs
    return {
        f"layer{index // 2}.{'value' if index % 2 else 'key'}_cache": results[name]
        for index, name in enumerate(remembered)
    }


def check_scenario(
    name: str, scenario: Scenario, longest_sequence: int, *, beyond_positions: bool
) -> None:
    """Raises InputError for what a decoder cannot do."""
    if scenario.phase not in PHASES:
        raise InputError(
            f"model {name}",
            "a decoder does not encode",
            got=f"the phase {scenario.phase}",
            need="the phase prefill or decode",
        )
    if scenario.attended_tokens > longest_sequence and not beyond_positions:
        raise InputError(
            f"model {name}",
            "the sequence is longer than the model's positions",
            got=f"{scenario.attended_tokens:,} tokens, cached ones included",
            need=f"at most {longest_sequence:,}",
        )


class Decoder(BlockBuilder, ABC):
    """A causal Transformer; a subclass says what stands in front, in a layer and behind."""

    def __init__(self, name: str, scenario: Scenario, weights: WeightSource) -> None:
        super().__init__(name, weights)
        self.scenario = scenario
        self.remembered: list[str] = []
        shape = (scenario.batch, scenario.new_tokens)
        self.builder.tensor("ids", shape, DType.INT64, TensorRole.INPUT)

    @abstractmethod
    def embeddings(self) -> str:
        """The hidden state before the first layer."""

    @abstractmethod
    def layer(self, name: str, x: str) -> str:
        """One layer behind `x`."""

    @abstractmethod
    def final(self, x: str) -> str:
        """The operators behind the last layer; returns the last hidden state, FINAL_NORM."""

    def graph(self, layers: int, head: tuple[str, bool], *, unrolled: bool) -> Graph:
        """The whole model.

        head: the name of the table that gives the logits, and whether it is (vocabulary, d).
        """
        x = self.embeddings()
        if unrolled:
            for index in range(layers):
                x = self.layer(f"layer{index}", x)
        else:
            self.repeats = layers
            x = self.layer("layer0", x)
            self.repeats = 1
        hidden = self.final(x)
        table, transposed = head
        inputs, attributes = {"a": hidden, "b": table}, {"transpose_b": transposed}
        logits = self.add("matmul", LOGITS, inputs, attributes, part=HEAD)
        return self.builder.build((hidden, logits, *self.remembered))

    def remember(self, name: str, slot: str, x: str) -> str:
        """The keys or values of all tokens so far: `x`, of the new ones, behind the cache.

        slot: "key" or "value", the key first. Without earlier tokens a prompt's are all there are.
        """
        batch, context = self.scenario.batch, self.scenario.context_tokens
        if self.scenario.phase is Phase.PREFILL and not context:
            self.remembered.append(x)
            return x
        shape = (batch, context, self.builder.tensors[x].shape[2])
        cache = self.builder.tensor(f"{name}.{slot}_cache", shape, DType.FLOAT32, TensorRole.CACHE)
        both = self.add("append_cache", f"{name}.{slot}s", {"cache": cache, "x": x})
        self.remembered.append(both)
        return both
