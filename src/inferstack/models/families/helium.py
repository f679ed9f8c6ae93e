"""Helium: Llama's layers in which neighbouring elements of a head turn.

Source: Kyutai 2025, Helium 1 model card; transformers, models/helium.
"""

from __future__ import annotations

from inferstack.core.errors import CheckpointError
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Attention, Description, FeedForward, Head, Layer
from inferstack.models.families.llama import NAMES
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import activation, decoder, head_sizes, read_rotary, rmsnorm


class HeliumFamily(Family):
    """See the module."""

    model_types = frozenset({"helium"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, kv_heads, width = head_sizes(file)
        if heads * width != hidden:
            raise CheckpointError(
                file.where,
                "head_dim makes no sense",
                got=f"{heads} heads of {width}",
                need=f"a hidden_size of {heads * width:,}, got {hidden:,}",
            )
        norm = rmsnorm(file, 1e-8)
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=kv_heads,
                width=width,
                bias=file.flag("attention_bias", False),
                rotary=read_rotary(file, width, theta=100000.0, interleaved=True),
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act"),
                gated=True,
                bias=file.flag("mlp_bias", False),
            ),
            norm=norm,
        )
        layers = (layer,) * file.whole("num_hidden_layers", 2**10)
        head = Head(tied=file.flag("tie_word_embeddings", False))
        return decoder(file, hidden, layers, norm, head)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return NAMES


ARCHITECTURE = HeliumFamily()
