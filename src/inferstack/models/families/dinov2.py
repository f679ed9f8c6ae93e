"""DINOv2: a Vision Transformer whose branches have a gain for each channel.

Output: the last hidden state, behind the last norm.
Source: Oquab et al. 2023, arXiv:2304.07193; transformers, models/dinov2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Description
from inferstack.models.families.vit import VitFamily
from inferstack.models.names import Names


class Dinov2Family(VitFamily):
    """See the module."""

    model_types = frozenset({"dinov2"})
    leading: ClassVar[Mapping[str, int]] = {"dinov2": 1}

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        file.only("use_swiglu_ffn", False)
        inner = file.whole("hidden_size", 2**16) * file.whole_or("mlp_ratio", 4, 2**8)
        plain = super().describe(
            ConfigFile(file.where, {**file.content, "intermediate_size": inner})
        )
        layer = replace(plain.layers[0], gains=True)
        return replace(plain, layers=(layer,) * plain.depth)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        vit = super().names(description)
        modules = {
            **vit.modules,
            "intermediate": "mlp.fc1",
            "ffn_output": "mlp.fc2",
            "attention_norm": "norm1",
            "ffn_norm": "norm2",
        }
        gains = {"attention_gain": "layer_scale1.lambda1", "ffn_gain": "layer_scale2.lambda1"}
        return replace(
            vit, prefixes=("", "dinov2."), modules=modules, tables={**vit.tables, **gains}
        )


ARCHITECTURE = Dinov2Family()
