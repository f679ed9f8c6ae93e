"""GLM-4: Llama's layers with gate and up in one tensor; neighbours in half of each head turn.

The models of 2025 (glm4) norm what a branch gives too.
Source: GLM Team 2024, arXiv:2406.12793; transformers, models/glm, glm4.
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
from inferstack.models.families.llama import MODULES, NAMES
from inferstack.models.families.phi3 import gate_and_up
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import activation, decoder, head_sizes, read_rotary, rmsnorm


class GlmFamily(Family):
    """See the module."""

    model_types = frozenset({"glm", "glm4"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, kv_heads, width = head_sizes(file)
        norm = rmsnorm(file, 1.5625e-07)
        sandwiched = file.text("model_type") == "glm4"
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=kv_heads,
                width=width,
                bias=file.flag("attention_bias", True),
                rotary=read_rotary(file, width, part=0.5, interleaved=True),
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act"),
                gated=True,
            ),
            norm=norm,
            arrangement=Arrangement.SANDWICH if sandwiched else Arrangement.PRE,
        )
        layers = (layer,) * file.whole("num_hidden_layers", 2**10)
        head = Head(tied=file.flag("tie_word_embeddings", False))
        return decoder(file, hidden, layers, norm, head)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return replace(
            NAMES,
            modules={
                **MODULES,
                **dict.fromkeys(("gate", "intermediate"), "mlp.gate_up_proj"),
                "attention_out_norm": "post_self_attn_layernorm",
                "ffn_out_norm": "post_mlp_layernorm",
            },
            parts=gate_and_up(description.layers[0].feed_forward.inner),
        )


ARCHITECTURE = GlmFamily()
