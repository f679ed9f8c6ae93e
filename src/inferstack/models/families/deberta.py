"""DeBERTa: v2's attention with distances as they are, and no bias of keys.

Of distances beyond the sentence there are no scores; of the whole table there are projections,
where its code projects the rows that the sentence needs.
Source: He et al. 2020, arXiv:2006.03654; transformers, models/deberta.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Attention, Description
from inferstack.models.families.deberta_v2 import DebertaV2Family
from inferstack.models.names import Names, qkv


class DebertaFamily(DebertaV2Family):
    """See the module."""

    model_types = frozenset({"deberta"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        file.only("talking_head", False)
        for key in ("position_buckets", "share_att_key", "norm_rel_ebd"):
            file.only(key, None)
        plain = super().describe(file)
        layers = tuple(replace(one, attention=_own(one.attention)) for one in plain.layers)
        return replace(plain, layers=layers)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        plain, of = super().names(description), description.layers[0].attention
        attention = {
            **dict.fromkeys(("query", "key", "value"), "attention.self.in_proj"),
            "position_query": "attention.self.pos_q_proj",
            "position_key": "attention.self.pos_proj",
        }
        biases = {
            "query.bias": "attention.self.q_bias",
            "value.bias": "attention.self.v_bias",
        }
        return replace(
            plain,
            modules={**plain.modules, **attention},
            tables={**plain.tables, **biases},
            parts=qkv(of.heads, of.kv_heads, of.width, groups=of.heads),
        )


def _own(of: Attention) -> Attention:
    relative = of.disentangled
    if relative is not None:
        relative = replace(relative, key_bias=False, near=True)
    return replace(of, key_bias=False, disentangled=relative)


ARCHITECTURE = DebertaFamily()
