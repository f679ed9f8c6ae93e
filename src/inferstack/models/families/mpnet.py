"""MPNet: BERT's layers with positions counted from the padding id and a bias of distances.

One table of biases serves all layers; its buckets are those of T5, up to a distance of 128.
Source: Song et al. 2020, arXiv:2004.09297; transformers, models/mpnet.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Buckets, Description, Embedding, Norm, PositionTable
from inferstack.models.families.bert import MODULES, TABLES, encoder_layer
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names

PADDING = 1
"""Its code has the number, whatever config.json says of padding."""
BUCKETS = Buckets(count=32, longest=128, both_ways=True)


class MpnetFamily(Family):
    """See the module."""

    model_types = frozenset({"mpnet"})
    phases = ENCODER

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        file.only("relative_attention_num_buckets", BUCKETS.count)
        file.only("pad_token_id", PADDING)
        hidden = file.whole("hidden_size", 2**16)
        rows = file.whole_or("max_position_embeddings", 512, 2**22, least=PADDING + 2)
        norm = Norm(kind="layernorm", epsilon=file.number_or("layer_norm_eps", 1e-12, 1e-20, 1.0))
        layer = encoder_layer(file, hidden, norm)
        layer = replace(layer, attention=replace(layer.attention, buckets=BUCKETS))
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=(layer,) * file.whole("num_hidden_layers", 2**10),
            longest=rows - PADDING - 1,
            causal=False,
            embedding=Embedding(
                positions=PositionTable(rows=rows, padding_id=PADDING),
                norm=norm,
            ),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        attention = {
            "query": "attention.attn.q",
            "key": "attention.attn.k",
            "value": "attention.attn.v",
            "output": "attention.attn.o",
            "attention_norm": "attention.LayerNorm",
        }
        return Names(
            prefixes=("", "mpnet."),
            layer="encoder.layer.{n}",
            modules={**MODULES, **attention},
            tables={**TABLES, "position_bias": "encoder.relative_attention_bias.weight"},
            others={"embedding.norm": "embeddings.LayerNorm"},
        )


ARCHITECTURE = MpnetFamily()
