"""Persimmon: squared ReLU, half of each head turned, norms of query and key.

Source: Elsen et al. 2023 (Adept), Releasing Persimmon-8B; transformers, models/persimmon.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Arrangement, Description
from inferstack.models.families.gpt_neox import GptNeoXFamily
from inferstack.models.names import Names
from inferstack.models.reading import layernorm, read_rotary


class PersimmonFamily(GptNeoXFamily):
    """See the module."""

    model_types = frozenset({"persimmon"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        plain = super().describe(file)
        layer = plain.layers[0]
        attention = replace(
            layer.attention,
            rotary=read_rotary(file, layer.attention.width, part=0.5),
            head_norm=layernorm(file) if file.flag("qk_layernorm", True) else None,
        )
        layer = replace(layer, attention=attention, arrangement=Arrangement.PRE)
        return replace(plain, layers=(layer,) * plain.depth)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        found = super().names(description)
        modules = {
            name: module.replace("attention.", "self_attn.", 1)
            if module.startswith("attention.")
            else module
            for name, module in found.modules.items()
        }
        modules |= {"query_norm": "self_attn.q_layernorm", "key_norm": "self_attn.k_layernorm"}
        return replace(
            found,
            prefixes=("", "model."),
            modules=modules,
            tables={"embedding.word": "embed_tokens.weight"},
            others={"final_norm": "final_layernorm", "head": "lm_head"},
        )


ARCHITECTURE = PersimmonFamily()
