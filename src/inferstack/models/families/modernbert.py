"""ModernBERT: pre-norm layers with rotary positions, a gate and no biases; every third sees all.

The others see `local_attention` tokens, half to each side, and turn by another base. The first
layer has no norm in front of its attention.
Source: Warner et al. 2024, arXiv:2412.13663; transformers, models/modernbert.
"""

from __future__ import annotations

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Attention,
    Description,
    Embedding,
    FeedForward,
    Layer,
    Norm,
)
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names, Part, qkv
from inferstack.models.reading import activation, read_rotary
from inferstack.models.rotary import Rotary

FULL, SLIDING = "full_attention", "sliding_attention"
BASES = {FULL: ("global_rope_theta", 160_000.0), SLIDING: ("local_rope_theta", 10_000.0)}
"""By kind of layer: where older files say the base, and what it is without."""


class ModernBertFamily(Family):
    """See the module."""

    model_types = frozenset({"modernbert"})
    phases = ENCODER

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads = file.whole("hidden_size", 2**16), file.whole("num_attention_heads", 2**12)
        file.multiple("hidden_size", hidden, "num_attention_heads", heads)
        norm = Norm(
            kind="layernorm",
            epsilon=file.number_or("norm_eps", 1e-5, 1e-20, 1.0),
            bias=file.flag("norm_bias", False),
        )
        bias = file.flag("attention_bias", False)
        window = file.whole_or("local_attention", 128, 2**24) // 2 + 1
        feed_forward = FeedForward(
            inner=file.whole("intermediate_size", 2**20),
            activation=activation(file, "hidden_activation", absent="gelu"),
            gated=True,
            bias=file.flag("mlp_bias", False),
        )
        attention = {
            kind: Attention(
                heads=heads,
                kv_heads=heads,
                width=hidden // heads,
                bias=bias,
                output_bias=bias,
                rotary=_rotary(file, kind, hidden // heads),
                window=None if kind == FULL else window,
            )
            for kind in (FULL, SLIDING)
        }
        layers = tuple(
            Layer(
                attention=attention[kind],
                feed_forward=feed_forward,
                norm=norm,
                attention_norm=number > 0,
            )
            for number, kind in enumerate(_kinds(file))
        )
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=layers,
            longest=file.whole_or("max_position_embeddings", 8192, 2**24),
            causal=False,
            embedding=Embedding(norm=norm),
            final_norm=norm,
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        first = description.layers[0]
        of, inner = first.attention, first.feed_forward.inner
        halves = {
            name: Part(groups=1, sizes=(inner, inner), index=index)
            for index, name in enumerate(("gate", "intermediate"))
        }
        return Names(
            prefixes=("", "model."),
            layer="layers.{n}",
            modules={
                "query": "attn.Wqkv",
                "key": "attn.Wqkv",
                "value": "attn.Wqkv",
                "output": "attn.Wo",
                "gate": "mlp.Wi",
                "intermediate": "mlp.Wi",
                "ffn_output": "mlp.Wo",
                "attention_norm": "attn_norm",
                "ffn_norm": "mlp_norm",
            },
            tables={"embedding.word": "embeddings.tok_embeddings.weight"},
            others={"embedding.norm": "embeddings.norm", "final_norm": "final_norm"},
            parts={**qkv(of.heads, of.kv_heads, of.width), **halves},
        )


def _kinds(file: ConfigFile) -> list[str]:
    """By layer, which tokens it sees."""
    depth = file.whole("num_hidden_layers", 2**10)
    said = file.optional("layer_types", None)
    if said is None:
        every = file.whole_or("global_attn_every_n_layers", 3, 2**10)
        return [SLIDING if number % every else FULL for number in range(depth)]
    if not isinstance(said, list) or len(said) != depth or not set(map(str, said)) <= set(BASES):
        raise CheckpointError(
            file.where, "layer_types makes no sense", got=printable(str(said)),
            need=f"{FULL} or {SLIDING} for each of {depth} layers",
        )  # fmt: skip
    return said


def _rotary(file: ConfigFile, kind: str, width: int) -> Rotary:
    key, theta = BASES[kind]
    theta = file.number_or(key, theta, 1.0, 1e15)
    said = file.optional("rope_parameters", None)
    if said is not None and not isinstance(said, dict):
        raise CheckpointError(file.where, "rope_parameters is no JSON object")
    own = file.optional("rope_scaling", None) if said is None else said.get(kind)
    content = {**file.content, "rope_parameters": own, "rope_scaling": None}
    return read_rotary(ConfigFile(file.where, content), width, theta=theta)


ARCHITECTURE = ModernBertFamily()
