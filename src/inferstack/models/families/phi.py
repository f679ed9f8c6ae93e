"""Phi-1, 1.5 and 2: one norm for attention and feed-forward, biases everywhere.

Source: Gunasekar et al. 2023, arXiv:2306.11644; Li et al. 2023, arXiv:2309.05463; transformers,
models/phi.
"""

from __future__ import annotations

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    FeedForward,
    Head,
    Layer,
)
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import activation, decoder, head_sizes, layernorm, read_rotary


class PhiFamily(Family):
    """See the module."""

    model_types = frozenset({"phi"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, kv_heads, width = head_sizes(file)
        norm = layernorm(file)
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=kv_heads,
                width=width,
                bias=True,
                output_bias=True,
                rotary=read_rotary(file, width, part=0.5),
                head_norm=norm if file.flag("qk_layernorm", False) else None,
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act", absent="gelu_tanh"),
                bias=True,
            ),
            norm=norm,
            arrangement=Arrangement.PARALLEL,
        )
        layers = (layer,) * file.whole("num_hidden_layers", 2**10)
        head = Head(tied=file.flag("tie_word_embeddings", False), bias=True)
        return decoder(file, hidden, layers, norm, head)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return Names(
            prefixes=("", "model."),
            layer="layers.{n}",
            modules={
                "query": "self_attn.q_proj",
                "key": "self_attn.k_proj",
                "value": "self_attn.v_proj",
                "query_norm": "self_attn.q_layernorm",
                "key_norm": "self_attn.k_layernorm",
                "output": "self_attn.dense",
                "intermediate": "mlp.fc1",
                "ffn_output": "mlp.fc2",
                "attention_norm": "input_layernorm",
            },
            tables={"embedding.word": "embed_tokens.weight"},
            others={"final_norm": "final_layernorm", "head": "lm_head"},
        )


ARCHITECTURE = PhiFamily()
