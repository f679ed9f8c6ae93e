"""Gemma and Gemma 2: Llama's layers, gains stored less 1, words times the root of the width.

Gemma 2 norms what a branch gives too, caps scores and logits, and every other layer sees a window.
Source: Gemma Team 2024, arXiv:2403.08295 and arXiv:2408.00118; transformers, models/gemma, gemma2.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    Embedding,
    FeedForward,
    Head,
    Layer,
)
from inferstack.models.families.llama import MODULES, NAMES
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import (
    activation,
    decoder,
    head_sizes,
    read_rotary,
    rmsnorm,
    windows,
)

SANDWICHED = {
    **MODULES,
    "attention_out_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_out_norm": "post_feedforward_layernorm",
}


def gemma_layer(file: ConfigFile, width: int) -> Layer:
    """The layer of the first Gemma. width: of a head."""
    norm = rmsnorm(file, 1e-6, offset=1.0)
    _, heads, kv_heads, _ = head_sizes(file)
    bias = file.flag("attention_bias", False)
    named = activation(file, "hidden_act", "hidden_activation", absent="gelu_tanh")
    return Layer(
        attention=Attention(
            heads=heads, kv_heads=kv_heads, width=width, bias=bias, output_bias=bias
        ),
        feed_forward=FeedForward(
            inner=file.whole("intermediate_size", 2**20),
            # The first files say gelu and mean its approximation.
            activation="gelu_tanh" if named == "gelu" else named,
            gated=True,
        ),
        norm=norm,
    )


def sandwiched(file: ConfigFile, width: int) -> Layer:
    """The layer that Gemma 2 and 3 share: norms on both sides of a branch, its own scale."""
    layer = gemma_layer(file, width)
    wide = layer.feed_forward
    if file.has("hidden_activation"):
        wide = replace(wide, activation=activation(file, "hidden_activation"))
    file.only("use_bidirectional_attention", False)
    cap = "attn_logit_softcapping"
    return replace(
        layer,
        arrangement=Arrangement.SANDWICH,
        attention=replace(
            layer.attention,
            scale=file.number_or("query_pre_attn_scalar", 256.0, 1e-3, 1e6) ** -0.5,
            softcap=file.number(cap, 1e-3, 1e6) if file.has(cap) else None,
        ),
        feed_forward=wide,
    )


def gemma_decoder(file: ConfigFile, layers: tuple[Layer, ...]) -> Description:
    """A stack of such layers."""
    hidden = file.whole("hidden_size", 2**17)
    cap = "final_logit_softcapping"
    return decoder(
        file,
        hidden,
        layers,
        layers[0].norm,
        Head(
            tied=file.flag("tie_word_embeddings", True),
            softcap=file.number(cap, 1e-3, 1e6) if file.has(cap) else None,
        ),
        embedding=Embedding(scale=hidden**0.5),
    )


class GemmaFamily(Family):
    """See the module."""

    model_types = frozenset({"gemma", "gemma2"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        width = file.whole_or("head_dim", 256, 2**13)
        depth = file.whole("num_hidden_layers", 2**10)
        rotary = read_rotary(file, width)
        if file.text("model_type") == "gemma2":
            layer, seen = sandwiched(file, width), windows(file, depth, size=4096, every=2)
        else:
            layer, seen = gemma_layer(file, width), [None] * depth
        return gemma_decoder(
            file,
            tuple(
                replace(layer, attention=replace(layer.attention, rotary=rotary, window=window))
                for window in seen
            ),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        sandwiched = description.layers[0].arrangement is Arrangement.SANDWICH
        return replace(NAMES, modules=SANDWICHED if sandwiched else MODULES, offset=1.0)


ARCHITECTURE = GemmaFamily()
