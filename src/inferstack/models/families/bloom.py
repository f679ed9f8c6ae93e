"""BLOOM: GPT-2's layers with slopes of distance, and a norm behind the words.

Source: BigScience Workshop 2022, arXiv:2211.05100; transformers, models/bloom.
"""

from __future__ import annotations

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Attention,
    Description,
    Embedding,
    FeedForward,
    Head,
    Layer,
)
from inferstack.models.family import Family
from inferstack.models.names import Names, qkv
from inferstack.models.reading import decoder, head_sizes, layernorm

LONGEST = 2048
"""Tokens that it was trained for; the slopes have no end."""


class BloomFamily(Family):
    """See the module."""

    model_types = frozenset({"bloom"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        file.only("apply_residual_connection_post_layernorm", False)
        hidden_key = "n_embed" if file.has("n_embed") else "hidden_size"
        heads_key = "n_head" if file.has("n_head") else "num_attention_heads"
        depth_key = "n_layer" if file.has("n_layer") else "num_hidden_layers"
        hidden, heads, _, width = head_sizes(file, hidden_key, heads_key)
        norm = layernorm(file, "layer_norm_epsilon")
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=heads,
                width=width,
                bias=True,
                output_bias=True,
                alibi=True,
            ),
            feed_forward=FeedForward(inner=4 * hidden, activation="gelu_tanh", bias=True),
            norm=norm,
        )
        return decoder(
            file,
            hidden,
            (layer,) * file.whole(depth_key, 2**10),
            norm,
            Head(tied=file.flag("tie_word_embeddings", True)),
            longest=file.whole_or("seq_length", LONGEST, 2**24),
            embedding=Embedding(norm=norm),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        of = description.layers[0].attention
        return Names(
            prefixes=("", "transformer."),
            layer="h.{n}",
            modules={
                **dict.fromkeys(("query", "key", "value"), "self_attention.query_key_value"),
                "output": "self_attention.dense",
                "intermediate": "mlp.dense_h_to_4h",
                "ffn_output": "mlp.dense_4h_to_h",
                "attention_norm": "input_layernorm",
                "ffn_norm": "post_attention_layernorm",
            },
            tables={"embedding.word": "word_embeddings.weight"},
            others={
                "embedding.norm": "word_embeddings_layernorm",
                "final_norm": "ln_f",
                "head": "lm_head",
            },
            parts=qkv(of.heads, of.heads, of.width, groups=of.heads),
        )


ARCHITECTURE = BloomFamily()
