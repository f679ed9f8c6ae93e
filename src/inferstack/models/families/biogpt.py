"""BioGPT: OPT's layers with GELU, behind scaled words.

Source: Luo et al. 2022, arXiv:2210.10341; transformers, models/biogpt.
"""

from __future__ import annotations

import math
from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Description
from inferstack.models.families.opt import OptFamily
from inferstack.models.names import Names


class BioGptFamily(OptFamily):
    """See the module."""

    model_types = frozenset({"biogpt"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        theirs = {"ffn_dim": "intermediate_size", "activation_function": "hidden_act"}
        content = {ours: file.value(key) for ours, key in theirs.items()}
        plain = super().describe(ConfigFile(file.where, {**file.content, **content}))
        scale = math.sqrt(plain.hidden) if file.flag("scale_embedding", True) else None
        return replace(plain, embedding=replace(plain.embedding, scale=scale))

    def names(self, description: Description) -> Names:
        """See `Family`."""
        others = {"final_norm": "layer_norm", "head": "output_projection"}
        return replace(super().names(description), prefixes=("", "biogpt."), others=others)


ARCHITECTURE = BioGptFamily()
