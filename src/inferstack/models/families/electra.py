"""ELECTRA and RoFormer: BERT's layers behind tables that may be narrower than the model.

RoFormer turns neighbours in queries and keys by position, and has no table of positions.
Source: Clark et al. 2020, arXiv:2003.10555; Su et al. 2021, arXiv:2104.09864; transformers,
models/electra, models/roformer.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Description, Embedding, Norm, PositionTable
from inferstack.models.families.bert import MODULES, TABLES, encoder_layer
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names
from inferstack.models.rotary import Rotary

TURNED = "roformer"


class ElectraFamily(Family):
    """See the module."""

    model_types = frozenset({"electra", TURNED})
    phases = ENCODER

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        turned = file.text("model_type") == TURNED
        file.only("position_embedding_type", "absolute")
        file.only("is_decoder", False)
        file.only("add_cross_attention", False)
        file.only("rotary_value", False)
        hidden = file.whole("hidden_size", 2**16)
        longest = file.whole_or("max_position_embeddings", 1536 if turned else 512, 2**22)
        norm = Norm(kind="layernorm", epsilon=file.number_or("layer_norm_eps", 1e-12, 1e-20, 1.0))
        layer = encoder_layer(file, hidden, norm)
        if turned:
            of = layer.attention
            rotary = Rotary(width=of.width, theta=10000.0, interleaved=True)
            layer = replace(layer, attention=replace(of, rotary=rotary))
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=(layer,) * file.whole("num_hidden_layers", 2**10),
            longest=longest,
            causal=False,
            embedding=Embedding(
                width=file.whole_or("embedding_size", hidden if turned else 128, 2**16),
                positions=None if turned else PositionTable(rows=longest),
                token_types=file.whole_or("type_vocab_size", 2, 2**10),
                norm=norm,
            ),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return Names(
            prefixes=("", "electra.", "roformer."),
            layer="encoder.layer.{n}",
            modules=MODULES,
            tables=TABLES,
            others={
                "embedding.norm": "embeddings.LayerNorm",
                "embedding.projection": "embeddings_project",
            },
        )


ARCHITECTURE = ElectraFamily()
