"""DeBERTa-v2 and v3: content and distance score each other, in buckets that widen with distance.

Source: He et al. 2020, arXiv:2006.03654; He et al. 2021, arXiv:2111.09543; transformers,
models/deberta_v2.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Attention,
    Description,
    Disentangled,
    Embedding,
    Norm,
    PositionTable,
)
from inferstack.models.families.bert import MODULES, TABLES, encoder_layer
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names

FROM, TO = "p2c", "c2p"


class DebertaV2Family(Family):
    """See the module."""

    model_types = frozenset({"deberta-v2"})
    phases = ENCODER

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        if file.whole_or("conv_kernel_size", 0, 2**10, least=0):
            raise CheckpointError(
                file.where, "a convolution behind the first layer is not supported",
                got=f"conv_kernel_size {file.content['conv_kernel_size']}",
                need="0, as DeBERTa-v3 and the small ones of v2 have",
            )  # fmt: skip
        hidden = file.whole("hidden_size", 2**16)
        longest = file.whole_or("max_position_embeddings", 512, 2**22)
        norm = Norm(kind="layernorm", epsilon=file.number_or("layer_norm_eps", 1e-7, 1e-20, 1.0))
        layer = encoder_layer(file, hidden, norm)
        file.only("attention_head_size", layer.attention.width)
        layer = replace(layer, attention=_with_positions(file, layer.attention, longest, norm))
        biased = file.flag("position_biased_input", True)
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=(layer,) * file.whole("num_hidden_layers", 2**10),
            longest=longest,
            causal=False,
            embedding=Embedding(
                width=file.whole_or("embedding_size", hidden, 2**16),
                positions=PositionTable(rows=longest) if biased else None,
                token_types=file.whole_or("type_vocab_size", 0, 2**10, least=0),
                norm=norm,
                norm_last=True,
                projection_bias=False,
            ),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        attention = {
            "query": "attention.self.query_proj",
            "key": "attention.self.key_proj",
            "value": "attention.self.value_proj",
            "position_query": "attention.self.pos_query_proj",
            "position_key": "attention.self.pos_key_proj",
        }
        return Names(
            prefixes=("", "deberta."),
            layer="encoder.layer.{n}",
            modules={**MODULES, **attention},
            tables={**TABLES, "relative": "encoder.rel_embeddings.weight"},
            others={
                "embedding.norm": "embeddings.LayerNorm",
                "embedding.projection": "embeddings.embed_proj",
                "relative.norm": "encoder.LayerNorm",
            },
        )


def position_kinds(file: ConfigFile) -> frozenset[str]:
    """pos_att_type: a list, or words with | between them."""
    said = file.optional("pos_att_type", None) or []
    kinds = [one.strip() for one in said.lower().split("|")] if isinstance(said, str) else said
    if not isinstance(kinds, list) or not set(map(str, kinds)) <= {FROM, TO}:
        raise CheckpointError(
            file.where, "pos_att_type is not supported", got=printable(str(said)),
            need=f"{FROM}, {TO}, both or none",
        )  # fmt: skip
    return frozenset(map(str, kinds))


def _with_positions(file: ConfigFile, of: Attention, longest: int, norm: Norm) -> Attention:
    """The three kinds of scores have one scale, whether or not positions are used."""
    kinds = position_kinds(file)
    of = replace(of, scale=(of.width * (1 + len(kinds))) ** -0.5)
    if not file.flag("relative_attention", False):
        return of
    most = max(file.whole_or("max_relative_positions", -1, 2**22, least=-1), 0) or longest
    buckets = max(file.whole_or("position_buckets", -1, 2**22, least=-1), 0)
    normed = file.optional("norm_rel_ebd", "none")
    return replace(
        of,
        disentangled=Disentangled(
            rows=2 * (buckets or most),
            buckets=buckets,
            longest=most,
            to_position=TO in kinds,
            from_position=FROM in kinds,
            shared=file.flag("share_att_key", False),
            norm=norm if "layer_norm" in str(normed).lower().split("|") else None,
        ),
    )


ARCHITECTURE = DebertaV2Family()
