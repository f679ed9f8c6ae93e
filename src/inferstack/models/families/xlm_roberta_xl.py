"""XLM-RoBERTa XL and XXL: RoBERTa with the norms in front, one behind all layers, none in front.

Source: Goyal et al. 2021, arXiv:2105.00572; transformers, models/xlm_roberta_xl.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Arrangement, Description
from inferstack.models.families.bert import MODULES, TABLES, BertFamily
from inferstack.models.names import Names


class XlmRobertaXlFamily(BertFamily):
    """See the module."""

    model_types = frozenset({"xlm-roberta-xl"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        plain = super().describe(file)
        return replace(
            plain,
            layers=tuple(replace(one, arrangement=Arrangement.PRE) for one in plain.layers),
            embedding=replace(plain.embedding, norm=None),
            final_norm=plain.embedding.norm,
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        norms = {"attention_norm": "attention.self_attn_layer_norm", "ffn_norm": "LayerNorm"}
        return Names(
            prefixes=("", "roberta."),
            layer="encoder.layer.{n}",
            modules={**MODULES, **norms},
            tables=TABLES,
            others={"final_norm": "encoder.LayerNorm"},
        )


ARCHITECTURE = XlmRobertaXlFamily()
