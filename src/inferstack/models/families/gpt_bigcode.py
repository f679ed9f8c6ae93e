"""SantaCoder and StarCoder: GPT-2's layers whose queries share one head of keys and values.

Source: Ben Allal et al. 2023, arXiv:2301.03988; Li et al. 2023, arXiv:2305.06161; transformers,
models/gpt_bigcode.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Attention,
    Description,
    Embedding,
    FeedForward,
    Head,
    Layer,
    PositionTable,
)
from inferstack.models.families.gpt2 import ARCHITECTURE as GPT2
from inferstack.models.family import Family
from inferstack.models.names import Names, qkv
from inferstack.models.reading import activation, decoder, head_sizes, layernorm


class GptBigCodeFamily(Family):
    """See the module."""

    model_types = frozenset({"gpt_bigcode"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        file.only("add_cross_attention", False)
        file.only("scale_attn_weights", True)
        hidden, heads, _, width = head_sizes(file, "n_embd", "n_head")
        norm = layernorm(file, "layer_norm_epsilon")
        positions = file.whole("n_positions", 2**22)
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=1 if file.flag("multi_query", True) else heads,
                width=width,
                bias=True,
                output_bias=True,
            ),
            feed_forward=FeedForward(
                inner=file.whole_or("n_inner", 4 * hidden, 2**20),
                activation=activation(file, "activation_function", absent="gelu_tanh"),
                bias=True,
            ),
            norm=norm,
        )
        return decoder(
            file,
            hidden,
            (layer,) * file.whole("n_layer", 2**10),
            norm,
            Head(tied=file.flag("tie_word_embeddings", True)),
            longest=positions,
            embedding=Embedding(positions=PositionTable(rows=positions)),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        of = description.layers[0].attention
        return replace(
            GPT2.names(description),
            transposed=True,
            parts=qkv(of.heads, of.kv_heads, of.width, groups=of.kv_heads),
        )


ARCHITECTURE = GptBigCodeFamily()
