"""Nemotron-4 and Minitron: squared ReLU without a gate, layernorms whose gains are stored less 1.

Source: Parmar et al. 2024, arXiv:2402.16819; Muralidharan et al. 2024, arXiv:2407.14679
(Minitron); transformers, models/nemotron.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Attention, Description, FeedForward, Head, Layer
from inferstack.models.families.llama import NAMES
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import activation, decoder, head_sizes, layernorm, read_rotary


class NemotronFamily(Family):
    """See the module."""

    model_types = frozenset({"nemotron"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, kv_heads, width = head_sizes(file)
        norm = replace(layernorm(file, "norm_eps"), offset=1.0)
        bias = file.flag("attention_bias", False)
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=kv_heads,
                width=width,
                bias=bias,
                output_bias=bias,
                rotary=read_rotary(file, width, part=0.5),
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act", absent="relu2"),
                bias=file.flag("mlp_bias", False),
            ),
            norm=norm,
        )
        layers = (layer,) * file.whole("num_hidden_layers", 2**10)
        head = Head(tied=file.flag("tie_word_embeddings", False))
        return decoder(file, hidden, layers, norm, head)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return replace(NAMES, offset=1.0)


ARCHITECTURE = NemotronFamily()
