"""Command R, Aya and Command R7B: one layernorm for both branches, neighbouring elements turn.

Of four layers of R7B three see a window and turn, the last does neither.
Source: Cohere 2024, model cards; Dang et al. 2024, arXiv:2412.04261 (Aya Expanse); transformers,
models/cohere, cohere2.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    FeedForward,
    Head,
    Layer,
)
from inferstack.models.families.llama import NAMES
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import (
    activation,
    decoder,
    head_sizes,
    layernorm,
    read_rotary,
    windows,
)


class CohereFamily(Family):
    """See the module."""

    model_types = frozenset({"cohere", "cohere2"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        second = file.text("model_type") == "cohere2"
        hidden, heads, kv_heads, width = head_sizes(file)
        norm = layernorm(file, bias=False)
        depth = file.whole("num_hidden_layers", 2**10)
        bias = file.flag("attention_bias", False)
        normed = not second and file.flag("use_qk_norm", False)
        theta = 10000.0 if second else 500000.0
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=kv_heads,
                width=width,
                bias=bias,
                output_bias=bias,
                rotary=read_rotary(file, width, theta=theta, interleaved=True),
                head_norm=norm if normed else None,
                norm_each=normed,
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act"),
                gated=True,
            ),
            norm=norm,
            arrangement=Arrangement.PARALLEL,
        )
        layers = (layer,) * depth
        if second:
            whole = replace(layer, attention=replace(layer.attention, rotary=None))
            every = file.whole_or("sliding_window_pattern", 4, 2**10)
            layers = tuple(
                whole
                if window is None
                else replace(layer, attention=replace(layer.attention, window=window))
                for window in windows(file, depth, size=4096, every=every)
            )
        head = Head(
            tied=file.flag("tie_word_embeddings", True),
            scale=file.number_or("logit_scale", 0.0625, 1e-6, 1e6),
        )
        return decoder(file, hidden, layers, norm, head)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return NAMES


ARCHITECTURE = CohereFamily()
