"""DistilBERT: BERT's layers without types of sentences, under other names.

Source: Sanh et al. 2019, arXiv:1910.01108; transformers, models/distilbert.
"""

from __future__ import annotations

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    Embedding,
    FeedForward,
    Layer,
    Norm,
    PositionTable,
)
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names
from inferstack.models.reading import activation

NORM = Norm(kind="layernorm", epsilon=1e-12)
"""The epsilon is no key of config.json."""


class DistilBertFamily(Family):
    """See the module."""

    model_types = frozenset({"distilbert"})
    phases = ENCODER

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`. A sinusoidal table of positions stands in the file like any other."""
        hidden, heads = file.whole_or("dim", 768, 2**16), file.whole_or("n_heads", 12, 2**12)
        file.multiple("dim", hidden, "n_heads", heads)
        positions = file.whole_or("max_position_embeddings", 512, 2**22)
        layer = Layer(
            attention=Attention(
                heads=heads, kv_heads=heads, width=hidden // heads, bias=True, output_bias=True
            ),
            feed_forward=FeedForward(
                inner=file.whole_or("hidden_dim", 3072, 2**20),
                activation=activation(file, "activation", absent="gelu"),
                bias=True,
            ),
            norm=NORM,
            arrangement=Arrangement.POST,
        )
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=(layer,) * file.whole_or("n_layers", 6, 2**10),
            longest=positions,
            causal=False,
            embedding=Embedding(positions=PositionTable(rows=positions), norm=NORM),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return Names(
            prefixes=("", "distilbert."),
            layer="transformer.layer.{n}",
            modules={
                "query": "attention.q_lin",
                "key": "attention.k_lin",
                "value": "attention.v_lin",
                "output": "attention.out_lin",
                "attention_norm": "sa_layer_norm",
                "intermediate": "ffn.lin1",
                "ffn_output": "ffn.lin2",
                "ffn_norm": "output_layer_norm",
            },
            tables={
                "embedding.word": "embeddings.word_embeddings.weight",
                "embedding.position": "embeddings.position_embeddings.weight",
            },
            others={"embedding.norm": "embeddings.LayerNorm"},
        )


ARCHITECTURE = DistilBertFamily()
