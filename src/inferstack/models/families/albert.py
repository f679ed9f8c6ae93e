"""ALBERT: a narrow table of words that is projected, and one layer's weights for all layers.

Source: Lan et al. 2019, arXiv:1909.11942; transformers, models/albert.
"""

from __future__ import annotations

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Description, Embedding, Norm, PositionTable
from inferstack.models.families.bert import TABLES, encoder_layer
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names


class AlbertFamily(Family):
    """See the module."""

    model_types = frozenset({"albert"})
    phases = ENCODER

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        file.only("num_hidden_groups", 1)
        file.only("inner_group_num", 1)
        file.only("position_embedding_type", "absolute")
        hidden = file.whole("hidden_size", 2**16)
        positions = file.whole_or("max_position_embeddings", 512, 2**22)
        norm = Norm(kind="layernorm", epsilon=file.number_or("layer_norm_eps", 1e-12, 1e-20, 1.0))
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=(encoder_layer(file, hidden, norm),) * file.whole("num_hidden_layers", 2**10),
            longest=positions,
            causal=False,
            embedding=Embedding(
                width=file.whole_or("embedding_size", 128, 2**16),
                positions=PositionTable(rows=positions),
                token_types=file.whole_or("type_vocab_size", 2, 2**10),
                norm=norm,
                projected=True,
            ),
            shared=True,
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return Names(
            prefixes=("", "albert."),
            layer="encoder.albert_layer_groups.0.albert_layers.0",
            modules={
                "query": "attention.query",
                "key": "attention.key",
                "value": "attention.value",
                "output": "attention.dense",
                "attention_norm": "attention.LayerNorm",
                "intermediate": "ffn",
                "ffn_output": "ffn_output",
                "ffn_norm": "full_layer_layer_norm",
            },
            tables=TABLES,
            others={
                "embedding.norm": "embeddings.LayerNorm",
                "embedding.projection": "encoder.embedding_hidden_mapping_in",
            },
        )


ARCHITECTURE = AlbertFamily()
