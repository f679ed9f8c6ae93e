"""Granite 3: Llama with a factor for words, scores, branches and logits each.

Source: Granite Team 2024, Granite 3.0 Language Models; transformers, models/granite.
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
from inferstack.models.families.llama import NAMES
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import activation, decoder, head_sizes, read_rotary, rmsnorm


class GraniteFamily(Family):
    """See the module."""

    model_types = frozenset({"granite"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, kv_heads, width = head_sizes(file)
        norm = rmsnorm(file, 1e-6)
        bias = file.flag("attention_bias", False)
        words, scores, branches, logits = (
            file.number_or(key, 1.0, 1e-6, 1e6)
            for key in (
                "embedding_multiplier",
                "attention_multiplier",
                "residual_multiplier",
                "logits_scaling",
            )
        )
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=kv_heads,
                width=width,
                bias=bias,
                output_bias=bias,
                scale=scores,
                rotary=read_rotary(file, width),
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act"),
                gated=True,
                bias=file.flag("mlp_bias", False),
            ),
            norm=norm,
            residual=branches,
        )
        return decoder(
            file,
            hidden,
            (layer,) * file.whole("num_hidden_layers", 2**10),
            norm,
            Head(tied=file.flag("tie_word_embeddings", False), scale=1 / logits),
            embedding=Embedding(scale=words),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return NAMES


ARCHITECTURE = GraniteFamily()
