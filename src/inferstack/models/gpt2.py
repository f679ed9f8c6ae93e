"""GPT-2 decoders: pre-norm Transformer layers with learned positions and tied embeddings.

Inputs and outputs: see `models.decoder`. Query, key and value are three projections here; the
weights' own file keeps them side by side in one.
Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; where the paper
leaves room, the weights' own code: transformers, models/gpt2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferstack.ir.graph import Graph
from inferstack.models.architecture import StoredWeight, WeightSource
from inferstack.models.blocks import EMBEDDING, FEED_FORWARD, HEAD, PROJECTION
from inferstack.models.config_file import ConfigFile
from inferstack.models.decoder import FINAL_NORM, PHASES, Decoder, check_scenario
from inferstack.models.scenario import Phase, Scenario

if TYPE_CHECKING:
    from inferstack.models.architecture import HuggingFaceForm


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpt2Config:
    """Sizes of a GPT-2. positions: rows of the position table."""

    layers: int
    hidden: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    epsilon: float


def _gpt2(layers: int, hidden: int, heads: int) -> Gpt2Config:
    """GPT-2 of a size."""
    return Gpt2Config(
        layers=layers,
        hidden=hidden,
        heads=heads,
        feed_forward=4 * hidden,
        vocabulary=50257,
        positions=1024,
        epsilon=1e-5,
    )


PRESETS = {
    "gpt2": _gpt2(12, 768, 12),
    "gpt2-medium": _gpt2(24, 1024, 16),
    "gpt2-large": _gpt2(36, 1280, 20),
    "gpt2-xl": _gpt2(48, 1600, 25),
}


class Gpt2HuggingFace:
    """GPT-2's config.json. Its weights are not read yet: one tensor holds query, key and value."""

    prefixes = ("", "transformer.")
    model_types = frozenset({"gpt2"})
    reads_weights = False

    def read_config(self, where: str, content: Mapping[str, object]) -> Gpt2Config:
        """Reads what the graph depends on; refuses what it would have to ignore."""
        file = ConfigFile(where, content)
        file.only("activation_function", "gelu_new")
        file.only("add_cross_attention", False)
        file.only("scale_attn_by_inverse_layer_idx", False)
        file.only("tie_word_embeddings", True)
        hidden, heads = file.whole("n_embd", 2**16), file.whole("n_head", 2**12)
        file.multiple("n_embd", hidden, "n_head", heads)
        has_width = file.has("n_inner")
        return Gpt2Config(
            layers=file.whole("n_layer", 2**10),
            hidden=hidden,
            heads=heads,
            feed_forward=file.whole("n_inner", 2**20) if has_width else 4 * hidden,
            vocabulary=file.whole("vocab_size", 2**24),
            positions=file.whole("n_positions", 2**22),
            epsilon=file.number("layer_norm_epsilon", 1e-20, 1.0),
        )

    def stored(self, weight: str) -> StoredWeight:
        """Never asked: see the class."""
        raise AssertionError(weight)


class Gpt2Architecture:
    """See the module."""

    presets: Mapping[str, Gpt2Config] = PRESETS
    phases: tuple[Phase, ...] = PHASES
    sees_tokens = True
    hugging_face: HuggingFaceForm | None = Gpt2HuggingFace()

    def build(
        self,
        name: str,
        config: Gpt2Config,
        scenario: Scenario,
        weights: WeightSource,
        *,
        unrolled: bool,
        beyond_positions: bool = False,
    ) -> Graph:
        """See `Architecture`."""
        check_scenario(name, scenario, config.positions, beyond_positions=beyond_positions)
        decoder = _Gpt2(name, config, scenario, weights)
        return decoder.graph(config.layers, ("embedding.word", True), unrolled=unrolled)


class _Gpt2(Decoder):
    """The blocks of GPT-2."""

    def __init__(
        self, name: str, config: Gpt2Config, scenario: Scenario, weights: WeightSource
    ) -> None:
        super().__init__(name, scenario, weights)
        self.config = config

    def embeddings(self) -> str:
        """Words and positions, summed."""
        config, context = self.config, self.scenario.context_tokens
        table = self.weight("embedding.word", config.vocabulary, config.hidden)
        words = self.add(
            "embedding", "embedding.words", {"table": table, "ids": "ids"}, part=EMBEDDING
        )
        # A longer table only ever stands for an absent one: see `beyond_positions`.
        rows = max(config.positions, self.scenario.attended_tokens)
        positions = self.add(
            "position_embedding",
            "embedding.positions",
            {"table": self.weight("embedding.position", rows, config.hidden), "ids": "ids"},
            {"first": context},
            part=EMBEDDING,
        )
        return self.add("add", "embedding.add", {"a": words, "b": positions}, part=EMBEDDING)

    def layer(self, name: str, x: str) -> str:
        """Attention and feed-forward, each with its norm before it and its residual behind it."""
        config = self.config
        hidden, inner = config.hidden, config.feed_forward
        normal = self.layernorm(f"{name}.attention_norm", x, hidden, config.epsilon)
        attended = self.attention(name, normal)
        x = self.add("add", f"{name}.attention_add", {"a": attended, "b": x})
        normal = self.layernorm(f"{name}.ffn_norm", x, hidden, config.epsilon)
        wide = self.dense(f"{name}.intermediate", normal, hidden, inner, FEED_FORWARD)
        active = self.add("gelu", f"{name}.gelu", {"x": wide}, {"approximate": "tanh"})
        narrow = self.dense(f"{name}.ffn_output", active, inner, hidden, FEED_FORWARD)
        return self.add("add", f"{name}.ffn_add", {"a": narrow, "b": x})

    def attention(self, name: str, x: str) -> str:
        """Causal self-attention of all heads and its output projection."""
        hidden, heads = self.config.hidden, self.config.heads
        query, key, value = (
            self.dense(f"{name}.{slot}", x, hidden, hidden, PROJECTION)
            for slot in ("query", "key", "value")
        )
        keys = self.remember(name, "key", key)
        values = self.remember(name, "value", value)
        width = hidden // heads
        context = self.attend(name, (query, keys, values), (heads, heads), width, causal=True)
        return self.dense(f"{name}.output", context, hidden, hidden, PROJECTION)

    def final(self, x: str) -> str:
        """The last norm."""
        return self.layernorm(FINAL_NORM, x, self.config.hidden, self.config.epsilon, HEAD)


ARCHITECTURE = Gpt2Architecture()
