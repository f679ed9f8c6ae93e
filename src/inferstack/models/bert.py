"""BERT and RoBERTa encoders: post-norm Transformer layers behind summed embeddings.

Inputs, all (batch, tokens) int64: ids, token_type_ids (BERT only), mask (1 = token, 0 = padding).
Output: the last hidden state (batch, tokens, hidden).
Source: Devlin et al. 2018, arXiv:1810.04805; Liu et al. 2019, arXiv:1907.11692; where the papers
leave room, the weights' own code: transformers, models/bert and models/roberta.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferstack.core.dtypes import DType
from inferstack.core.errors import InputError
from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.architecture import StoredWeight, WeightSource
from inferstack.models.blocks import EMBEDDING, FEED_FORWARD, OTHER, PROJECTION, BlockBuilder
from inferstack.models.config_file import ConfigFile
from inferstack.models.scenario import Phase, Scenario

if TYPE_CHECKING:
    from inferstack.models.architecture import HuggingFaceForm

NO_PADDING_RULE = -1
"""`padding_id` of a model whose positions are 0 .. tokens - 1."""

APPROXIMATE_OF_ACTIVATION = {
    "gelu": "none",
    "gelu_python": "none",
    "gelu_new": "tanh",
    "gelu_fast": "tanh",
    "gelu_pytorch_tanh": "tanh",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BertConfig:
    """Sizes of an encoder.

    token_types: rows of the type table. has_type_input: BERT's sentences have types; RoBERTa's all
    have type 0. padding_id: RoBERTa counts positions from padding_id + 1; -1 for BERT's rule.
    approximate: the form of GELU, "none" or "tanh".
    """

    layers: int
    hidden: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    has_type_input: bool
    padding_id: int
    epsilon: float
    approximate: str

    @property
    def longest_sequence(self) -> int:
        """Tokens that the position table is long enough for."""
        return self.positions - self.padding_id - 1


def _bert(layers: int, hidden: int, heads: int) -> BertConfig:
    """BERT uncased of a size."""
    return BertConfig(
        layers=layers,
        hidden=hidden,
        heads=heads,
        feed_forward=4 * hidden,
        vocabulary=30522,
        positions=512,
        token_types=2,
        has_type_input=True,
        padding_id=NO_PADDING_RULE,
        epsilon=1e-12,
        approximate="none",
    )


def _roberta(layers: int, hidden: int, heads: int) -> BertConfig:
    """RoBERTa of a size."""
    return BertConfig(
        layers=layers,
        hidden=hidden,
        heads=heads,
        feed_forward=4 * hidden,
        vocabulary=50265,
        positions=514,
        token_types=1,
        has_type_input=False,
        padding_id=1,
        epsilon=1e-5,
        approximate="none",
    )


PRESETS = {
    "bert-base": _bert(12, 768, 12),
    "bert-large": _bert(24, 1024, 16),
    "minilm-l6": _bert(6, 384, 12),
    "roberta-base": _roberta(12, 768, 12),
    "roberta-large": _roberta(24, 1024, 16),
}


class BertHuggingFace:
    """BERT and RoBERTa in a Hugging Face folder."""

    prefixes = ("", "bert.", "roberta.")
    model_types = frozenset({"bert", "roberta"})
    reads_weights = True

    def read_config(self, where: str, content: Mapping[str, object]) -> BertConfig:
        """Reads what the graph depends on; refuses what it would have to ignore."""
        file = ConfigFile(where, content)
        roberta = file.text("model_type") == "roberta"
        file.only("position_embedding_type", "absolute")
        file.only("is_decoder", False)
        file.only("add_cross_attention", False)
        hidden = file.whole("hidden_size", 2**16)
        heads = file.whole("num_attention_heads", 2**12)
        file.multiple("hidden_size", hidden, "num_attention_heads", heads)
        vocabulary = file.whole("vocab_size", 2**24)
        padding = file.whole("pad_token_id", vocabulary - 1, least=0) if roberta else -1
        return BertConfig(
            layers=file.whole("num_hidden_layers", 2**10),
            hidden=hidden,
            heads=heads,
            feed_forward=file.whole("intermediate_size", 2**20),
            vocabulary=vocabulary,
            positions=file.whole("max_position_embeddings", 2**22, least=padding + 2),
            token_types=file.whole("type_vocab_size", 2**10),
            has_type_input=not roberta,
            padding_id=padding,
            epsilon=file.number("layer_norm_eps", 1e-20, 1.0),
            approximate=file.choice("hidden_act", APPROXIMATE_OF_ACTIVATION),
        )

    def stored(self, weight: str) -> StoredWeight:
        """See `HuggingFaceForm`."""
        operator, _, slot = weight.rpartition(".")
        if operator == "embedding":
            return StoredWeight(names=(f"embeddings.{slot}_embeddings.weight",))
        layer, _, part = operator.partition(".")
        if layer == "embedding":
            module = "embeddings.LayerNorm"
        else:
            module = f"encoder.layer.{layer.removeprefix('layer')}.{_MODULES[part]}"
        if slot in ("gamma", "beta"):
            # Checkpoints converted from TensorFlow kept its names.
            name = {"gamma": "weight", "beta": "bias"}[slot]
            return StoredWeight(names=(f"{module}.{name}", f"{module}.{slot}"))
        return StoredWeight(names=(f"{module}.{slot}",), transposed=slot == "weight")


_MODULES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "ffn_output": "output.dense",
    "ffn_norm": "output.LayerNorm",
}


class BertArchitecture:
    """See the module."""

    presets: Mapping[str, BertConfig] = PRESETS
    phases: tuple[Phase, ...] = (Phase.ENCODE,)
    sees_tokens = True
    hugging_face: HuggingFaceForm | None = BertHuggingFace()

    def build(
        self,
        name: str,
        config: BertConfig,
        scenario: Scenario,
        weights: WeightSource,
        *,
        unrolled: bool,
        beyond_positions: bool = False,
    ) -> Graph:
        """See `Architecture`."""
        if scenario.phase is not Phase.ENCODE:
            raise InputError(
                f"model {name}",
                "an encoder only encodes",
                got=f"the phase {scenario.phase}",
                need=f"the phase {Phase.ENCODE}",
            )
        if scenario.new_tokens > config.longest_sequence and not beyond_positions:
            raise InputError(
                f"model {name}",
                "the sequence is longer than the position table",
                got=f"{scenario.new_tokens:,} tokens",
                need=f"at most {config.longest_sequence:,}",
                hint=f"--seq-len {config.longest_sequence}, or a model trained on longer texts",
            )
        encoder = _Encoder(name, config, scenario, weights)
        x = encoder.embeddings()
        if not unrolled:
            encoder.repeats = config.layers
            return encoder.builder.build((encoder.layer("layer0", x),))
        for index in range(config.layers):
            x = encoder.layer(f"layer{index}", x)
        return encoder.builder.build((x,))


class _Encoder(BlockBuilder):
    """The blocks of an encoder."""

    def __init__(
        self, name: str, config: BertConfig, scenario: Scenario, weights: WeightSource
    ) -> None:
        super().__init__(name, weights)
        self.config = config
        # A longer table only ever stands for an absent one: see `beyond_positions`.
        self.positions = max(config.positions, scenario.new_tokens + config.padding_id + 1)
        kinds = ("token_type_ids",) if config.has_type_input else ()
        for slot in ("ids", *kinds, "mask"):
            shape = (scenario.batch, scenario.new_tokens)
            self.builder.tensor(slot, shape, DType.INT64, TensorRole.INPUT)

    def norm(self, name: str, x: str, part: str = OTHER) -> str:
        """LayerNorm of the hidden size."""
        return self.layernorm(name, x, self.config.hidden, self.config.epsilon, part)

    def embeddings(self) -> str:
        """Words, types and positions, summed in the order of the weights' own code, normalised."""
        config, add = self.config, self.add
        table = self.weight("embedding.word", config.vocabulary, config.hidden)
        x = add("embedding", "embedding.words", {"table": table, "ids": "ids"}, part=EMBEDDING)
        if config.has_type_input:
            table = self.weight("embedding.token_type", config.token_types, config.hidden)
            inputs = {"table": table, "ids": "token_type_ids"}
            types = add("embedding", "embedding.types", inputs, part=EMBEDDING)
            x = add("add", "embedding.type_add", {"a": x, "b": types}, part=EMBEDDING)
        positions = add(
            "position_embedding",
            "embedding.positions",
            {"table": self.position_table(), "ids": "ids"},
            {"padding_id": config.padding_id},
            part=EMBEDDING,
        )
        x = add("add", "embedding.position_add", {"a": x, "b": positions}, part=EMBEDDING)
        return self.norm("embedding.norm", x, EMBEDDING)

    def position_table(self) -> str:
        """The position table; without a type input it holds the one type's row in every row."""
        config, name = self.config, "embedding.position"
        shape = (self.positions, config.hidden)
        data = self.weights(name, shape)
        if data is not None and not config.has_type_input:
            types = self.weights("embedding.token_type", (config.token_types, config.hidden))
            assert types is not None, "a source has all weights or none"
            data = data + types[0]
        return self.builder.tensor(name, shape, DType.FLOAT32, TensorRole.WEIGHT, data)

    def layer(self, name: str, x: str) -> str:
        """Attention and feed-forward, each with its residual and norm behind it."""
        config = self.config
        attended = self.attention(name, x)
        total = self.add("add", f"{name}.attention_add", {"a": attended, "b": x})
        x = self.norm(f"{name}.attention_norm", total)
        hidden, inner = config.hidden, config.feed_forward
        wide = self.dense(f"{name}.intermediate", x, hidden, inner, FEED_FORWARD)
        attributes = {"approximate": config.approximate}
        active = self.add("gelu", f"{name}.gelu", {"x": wide}, attributes)
        narrow = self.dense(f"{name}.ffn_output", active, inner, hidden, FEED_FORWARD)
        total = self.add("add", f"{name}.ffn_add", {"a": narrow, "b": x})
        return self.norm(f"{name}.ffn_norm", total)

    def attention(self, name: str, x: str) -> str:
        """Self-attention of all heads and its output projection."""
        hidden, heads = self.config.hidden, self.config.heads
        query, key, value = (
            self.dense(f"{name}.{slot}", x, hidden, hidden, PROJECTION)
            for slot in ("query", "key", "value")
        )
        width = hidden // heads
        context = self.attend(name, (query, key, value), (heads, heads), width, mask="mask")
        return self.dense(f"{name}.output", context, hidden, hidden, PROJECTION)


ARCHITECTURE = BertArchitecture()
