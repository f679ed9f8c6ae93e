"""Llama decoders: RMSNorm, rotary positions, grouped-query attention, SwiGLU, no biases.

Inputs and outputs: see `models.decoder`. The caches hold keys that are already turned.
Source: Touvron et al. 2023, arXiv:2302.13971 and arXiv:2307.09288; Grattafiori et al. 2024,
arXiv:2407.21783, table 3; where the papers leave room, transformers, models/llama.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from inferstack.core.errors import CheckpointError, InputError
from inferstack.ir.graph import Graph
from inferstack.models.architecture import StoredWeight, WeightSource
from inferstack.models.blocks import EMBEDDING, FEED_FORWARD, HEAD, OTHER, PROJECTION
from inferstack.models.config_file import ConfigFile
from inferstack.models.decoder import FINAL_NORM, PHASES, Decoder, check_scenario
from inferstack.models.scenario import Phase, Scenario

if TYPE_CHECKING:
    from inferstack.models.architecture import HuggingFaceForm

LIBRARY = Path(__file__).parent / "library" / "llama.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaConfig:
    """Sizes of a Llama.

    kv_heads: heads of keys and values; each serves heads / kv_heads of the query. positions: the
    longest sequence that it was trained for. theta: the base of the rotary angles. tied: the table
    of words gives the logits too.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    theta: float
    epsilon: float
    tied: bool

    @property
    def head_width(self) -> int:
        """Elements of a head."""
        return self.hidden // self.heads


@cache
def presets() -> dict[str, LlamaConfig]:
    """The models of the library's file."""
    from inferstack.core.yaml import read_yaml

    content = read_yaml(LIBRARY, InputError)
    assert isinstance(content, dict), LIBRARY
    return {name: LlamaConfig(**sizes) for name, sizes in content.items()}


class LlamaHuggingFace:
    """Llama in a Hugging Face folder."""

    prefixes = ("", "model.")
    model_types = frozenset({"llama"})
    reads_weights = False

    def read_config(self, where: str, content: Mapping[str, object]) -> LlamaConfig:
        """Reads what the graph's shapes depend on; refuses what it would have to ignore.

        Scaled rotary angles (rope_scaling) change values, no shape, and are let through.
        """
        file = ConfigFile(where, content)
        file.only("hidden_act", "silu")
        file.only("attention_bias", False)
        file.only("mlp_bias", False)
        hidden, heads = file.whole("hidden_size", 2**16), file.whole("num_attention_heads", 2**12)
        file.multiple("hidden_size", hidden, "num_attention_heads", heads)
        if file.has("head_dim"):
            width = file.whole("head_dim", 2**16)
            if width != hidden // heads:
                what = "head_dim is not hidden_size / num_attention_heads"
                raise CheckpointError(where, what, got=width, need=hidden // heads)
        grouped = file.has("num_key_value_heads")
        kv_heads = file.whole("num_key_value_heads", heads) if grouped else heads
        file.multiple("num_attention_heads", heads, "num_key_value_heads", kv_heads)
        theta = file.number("rope_theta", 1.0, 1e12) if file.has("rope_theta") else 10000.0
        return LlamaConfig(
            layers=file.whole("num_hidden_layers", 2**10),
            hidden=hidden,
            heads=heads,
            kv_heads=kv_heads,
            feed_forward=file.whole("intermediate_size", 2**20),
            vocabulary=file.whole("vocab_size", 2**24),
            positions=file.whole("max_position_embeddings", 2**24),
            theta=theta,
            epsilon=file.number("rms_norm_eps", 1e-20, 1.0),
            tied=file.flag("tie_word_embeddings", False),
        )

    def stored(self, weight: str) -> StoredWeight:
        """Never asked: decoders are not run from a checkpoint yet."""
        raise AssertionError(weight)


class LlamaArchitecture:
    """See the module."""

    phases: tuple[Phase, ...] = PHASES
    sees_tokens = True
    hugging_face: HuggingFaceForm | None = LlamaHuggingFace()

    @property
    def presets(self) -> Mapping[str, LlamaConfig]:
        """See `Architecture`."""
        return presets()

    def build(
        self,
        name: str,
        config: LlamaConfig,
        scenario: Scenario,
        weights: WeightSource,
        *,
        unrolled: bool,
        beyond_positions: bool = False,
    ) -> Graph:
        """See `Architecture`."""
        check_scenario(name, scenario, config.positions, beyond_positions=beyond_positions)
        decoder = _Llama(name, config, scenario, weights)
        head = ("embedding.word", True) if config.tied else (decoder.head(), False)
        return decoder.graph(config.layers, head, unrolled=unrolled)


class _Llama(Decoder):
    """The blocks of Llama."""

    def __init__(
        self, name: str, config: LlamaConfig, scenario: Scenario, weights: WeightSource
    ) -> None:
        super().__init__(name, scenario, weights)
        self.config = config

    def head(self) -> str:
        """The weights of the logits, where they are not the table of words."""
        return self.weight("head.weight", self.config.hidden, self.config.vocabulary)

    def norm(self, name: str, x: str, part: str = OTHER) -> str:
        """RMSNorm."""
        gamma = self.weight(f"{name}.gamma", self.config.hidden)
        attributes = {"epsilon": self.config.epsilon}
        return self.add("rmsnorm", name, {"x": x, "gamma": gamma}, attributes, part=part)

    def embeddings(self) -> str:
        """Words."""
        table = self.weight("embedding.word", self.config.vocabulary, self.config.hidden)
        inputs = {"table": table, "ids": "ids"}
        return self.add("embedding", "embedding.words", inputs, part=EMBEDDING)

    def layer(self, name: str, x: str) -> str:
        """Attention and feed-forward, each with its norm before it and its residual behind it."""
        hidden, inner = self.config.hidden, self.config.feed_forward
        attended = self.attention(name, self.norm(f"{name}.attention_norm", x))
        x = self.add("add", f"{name}.attention_add", {"a": attended, "b": x})
        normal = self.norm(f"{name}.ffn_norm", x)
        gate = self.dense(f"{name}.gate", normal, hidden, inner, FEED_FORWARD, bias=False)
        active = self.add("silu", f"{name}.silu", {"x": gate})
        wide = self.dense(f"{name}.intermediate", normal, hidden, inner, FEED_FORWARD, bias=False)
        gated = self.add("multiply", f"{name}.gated", {"a": active, "b": wide})
        narrow = self.dense(f"{name}.ffn_output", gated, inner, hidden, FEED_FORWARD, bias=False)
        return self.add("add", f"{name}.ffn_add", {"a": narrow, "b": x})

    def attention(self, name: str, x: str) -> str:
        """Causal grouped-query attention and its output projection."""
        config = self.config
        hidden, heads, kv_heads = config.hidden, config.heads, config.kv_heads
        narrow = kv_heads * config.head_width
        query = self.dense(f"{name}.query", x, hidden, hidden, PROJECTION, bias=False)
        key = self.dense(f"{name}.key", x, hidden, narrow, PROJECTION, bias=False)
        value = self.dense(f"{name}.value", x, hidden, narrow, PROJECTION, bias=False)
        query = self.turned(f"{name}.query_rotary", query, heads)
        key = self.turned(f"{name}.key_rotary", key, kv_heads)
        operands = query, self.remember(name, "key", key), self.remember(name, "value", value)
        context = self.attend(name, operands, (heads, kv_heads), config.head_width, causal=True)
        return self.dense(f"{name}.output", context, hidden, hidden, PROJECTION, bias=False)

    def turned(self, name: str, x: str, heads: int) -> str:
        """Rotary positions."""
        first = self.scenario.context_tokens
        attributes = {"heads": heads, "theta": self.config.theta, "first": first}
        return self.add("rotary", name, {"x": x}, attributes)

    def final(self, x: str) -> str:
        """The last norm."""
        return self.norm(FINAL_NORM, x, HEAD)


ARCHITECTURE = LlamaArchitecture()
