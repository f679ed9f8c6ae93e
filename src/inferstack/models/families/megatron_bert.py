"""BERT's layers with norms in front: Megatron-BERT, and RoBERTa so.

Source: Shoeybi et al. 2019, arXiv:1909.08053; Ott et al. 2019, arXiv:1904.01038 (fairseq); where
they leave room, transformers, models/megatron_bert, roberta_prelayernorm.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Arrangement, Description
from inferstack.models.families.bert import MODULES, TABLES, BertFamily
from inferstack.models.names import Names


class MegatronBertFamily(BertFamily):
    """See the module."""

    model_types = frozenset({"megatron-bert", "roberta-prelayernorm"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        behind = super().describe(file)
        layer = replace(behind.layers[0], arrangement=Arrangement.PRE)
        embedding = behind.embedding
        if file.text("model_type") == "megatron-bert":
            embedding = replace(embedding, norm=None)
        return replace(
            behind,
            layers=(layer,) * behind.depth,
            embedding=embedding,
            final_norm=layer.norm,
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        megatron = description.embedding.norm is None
        first, second, last = (
            ("attention.ln", "ln", "encoder.ln")
            if megatron
            else ("attention.LayerNorm", "intermediate.LayerNorm", "LayerNorm")
        )
        return Names(
            prefixes=("", "bert.", "roberta_prelayernorm."),
            layer="encoder.layer.{n}",
            modules={**MODULES, "attention_norm": first, "ffn_norm": second},
            tables=TABLES,
            others={"embedding.norm": "embeddings.LayerNorm", "final_norm": last},
        )


ARCHITECTURE = MegatronBertFamily()
