"""StarCoder2: layernorms, rotary positions, grouped-query attention, biases, no gate.

Source: Lozhkov et al. 2024, arXiv:2402.19173; transformers, models/starcoder2.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Attention, Description, FeedForward, Head, Layer
from inferstack.models.families.llama import MODULES, NAMES
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


class Starcoder2Family(Family):
    """See the module."""

    model_types = frozenset({"starcoder2"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, kv_heads, width = head_sizes(file)
        bias = file.flag("use_bias", True)
        norm = layernorm(file, "norm_epsilon")
        rotary = read_rotary(file, width)
        layers = tuple(
            Layer(
                attention=Attention(
                    heads=heads,
                    kv_heads=kv_heads,
                    width=width,
                    bias=bias,
                    output_bias=bias,
                    rotary=rotary,
                    window=window,
                ),
                feed_forward=FeedForward(
                    inner=file.whole("intermediate_size", 2**20),
                    activation=activation(file, "hidden_act", absent="gelu_tanh"),
                    bias=bias,
                ),
                norm=norm,
            )
            for window in windows(file, file.whole("num_hidden_layers", 2**10))
        )
        return decoder(
            file, hidden, layers, norm, Head(tied=file.flag("tie_word_embeddings", True))
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        dense = {"intermediate": "mlp.c_fc", "ffn_output": "mlp.c_proj"}
        return replace(NAMES, modules={**MODULES, **dense})


ARCHITECTURE = Starcoder2Family()
