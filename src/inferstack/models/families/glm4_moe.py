"""GLM-4.5 and dots.llm1: grouped heads in front of DeepSeek-V3's experts.

Source: GLM-4.5 Team 2025, arXiv:2508.06471; rednote-hilab 2025, arXiv:2506.05767 (dots.llm1); where
they leave room, transformers, models/glm4_moe, dots1.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Attention, Description, FeedForward, Head, Layer
from inferstack.models.families.deepseek import CORRECTION, EXPERTS, routed
from inferstack.models.families.llama import NAMES
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


class Glm4MoeFamily(Family):
    """See the module."""

    model_types = frozenset({"glm4_moe", "dots1"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        glm = file.text("model_type") == "glm4_moe"
        hidden, heads, kv_heads, width = head_sizes(file)
        norm = rmsnorm(file, 1e-5 if glm else 1e-6)
        depth = file.whole("num_hidden_layers", 2**10)
        bias = file.flag("attention_bias", False)
        dense = FeedForward(
            inner=file.whole("intermediate_size", 2**20),
            activation=activation(file, "hidden_act"),
            gated=True,
        )
        mixed = routed(file, dense, third=True, normalized=glm)
        first = file.whole_or("first_k_dense_replace", int(glm), 2**10, least=0)
        attention = Attention(
            heads=heads,
            kv_heads=kv_heads,
            width=width,
            bias=bias,
            output_bias=bias and not glm,
            rotary=read_rotary(file, width, part=0.5 if glm else 1.0),
            head_norm=norm if not glm or file.flag("use_qk_norm", False) else None,
        )
        seen = [None] * depth if glm else windows(file, depth)
        layers = tuple(
            Layer(
                attention=replace(attention, window=seen[number]),
                feed_forward=dense if number < first else mixed,
                norm=norm,
            )
            for number in range(depth)
        )
        return decoder(
            file, hidden, layers, norm, Head(tied=file.flag("tie_word_embeddings", False))
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return replace(
            NAMES,
            modules={**NAMES.modules, **EXPERTS},
            tables={**NAMES.tables, **CORRECTION},
        )


ARCHITECTURE = Glm4MoeFamily()
