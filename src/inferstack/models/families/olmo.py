"""OLMo 1 to 3: Llama's layers with norms without gains (1), or behind each branch (2 and 3).

OLMo 2 and 3 norm queries and keys over all heads; of four layers of OLMo 3 three see a window.
Source: Groeneveld et al. 2024, arXiv:2402.00838; OLMo Team 2025, arXiv:2501.00656 and
arXiv:2512.13961; transformers, models/olmo, olmo2, olmo3.
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
    Norm,
)
from inferstack.models.families.llama import MODULES, NAMES
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import (
    activation,
    decoder,
    head_sizes,
    read_rotary,
    read_rotary_by_window,
    rmsnorm,
    windows,
)


class OlmoFamily(Family):
    """See the module."""

    model_types = frozenset({"olmo", "olmo2", "olmo3"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        kind = file.text("model_type")
        hidden, heads, kv_heads, width = head_sizes(file)
        behind = kind != "olmo"
        norm = Norm(kind="layernorm", epsilon=1e-5, bias=False, gain=False)
        if behind:
            norm = rmsnorm(file, 1e-5)
        depth = file.whole("num_hidden_layers", 2**10)
        bias = file.flag("attention_bias", False)
        clipped = kind == "olmo" and file.has("clip_qkv")
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=kv_heads,
                width=width,
                bias=bias,
                output_bias=bias,
                head_norm=norm if behind else None,
                norm_whole=behind,
                clip=file.number("clip_qkv", 0, 1e6) if clipped else None,
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act"),
                gated=True,
            ),
            norm=norm,
            arrangement=Arrangement.BEHIND if behind else Arrangement.PRE,
        )
        if kind == "olmo3":
            rotary, near = read_rotary_by_window(file, width, theta=500000.0)
            seen = windows(file, depth, size=4096, every=4)
        else:
            rotary = near = read_rotary(file, width)
            seen = [None] * depth
        layers = tuple(
            replace(
                layer,
                attention=replace(
                    layer.attention, rotary=rotary if window is None else near, window=window
                ),
            )
            for window in seen
        )
        return decoder(
            file, hidden, layers, norm, Head(tied=file.flag("tie_word_embeddings", False))
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return replace(NAMES, modules=BEHIND)


BEHIND = {
    **MODULES,
    "attention_norm": "post_attention_layernorm",
    "ffn_norm": "post_feedforward_layernorm",
}

ARCHITECTURE = OlmoFamily()
