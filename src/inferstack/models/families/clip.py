"""CLIP and SigLIP: a text and an image side by side, and how well they match.

A config leaves out of text_config and vision_config what is as transformers has it by default.
Source: Radford et al. 2021, arXiv:2103.00020; Zhai et al. 2023, arXiv:2303.15343; where they leave
room, transformers, models/clip, siglip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.described import WORDS
from inferstack.models.description import Description
from inferstack.models.families import clip_text, clip_vision
from inferstack.models.family import TowersFamily
from inferstack.models.names import TEXT, VISION, Names, Stacks
from inferstack.models.pair import Towers

LAYERS: Mapping[str, object] = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "layer_norm_eps": 1e-5, "hidden_act": "quick_gelu",
}  # fmt: skip
IMAGES: Mapping[str, object] = {"image_size": 224, "num_channels": 3}
TEXTS: Mapping[str, object] = {
    "vocab_size": 49408, "max_position_embeddings": 77, "hidden_size": 512,
    "intermediate_size": 2048, "num_attention_heads": 8, "eos_token_id": clip_text.END,
}  # fmt: skip
SIGLIPS: Mapping[str, object] = {"layer_norm_eps": 1e-6, "hidden_act": "gelu_pytorch_tanh"}
DEFAULTS: Mapping[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
    "clip": ({**LAYERS, **TEXTS}, {**LAYERS, **IMAGES, "patch_size": 32}),
    "siglip": (
        {**LAYERS, **SIGLIPS, "vocab_size": 32000, "max_position_embeddings": 64},
        {**LAYERS, **SIGLIPS, **IMAGES, "patch_size": 16},
    ),
}
"""Of a text config and of a vision config. Source: transformers, models/clip and models/siglip."""


class ClipFamily(TowersFamily):
    """See the module."""

    model_types = frozenset(DEFAULTS)

    def describe(self, file: ConfigFile) -> Towers:
        """See `TowersFamily`."""
        kind = file.text("model_type")
        of_text, of_image = DEFAULTS[kind]
        texts, images = (
            file.within(key, absent)
            for key, absent in (("text_config", of_text), ("vision_config", of_image))
        )
        images.only("vision_use_head", True)
        text = clip_text.text_tower(texts, f"{kind}_text_model")
        vision = clip_vision.vision_tower(images, f"{kind}_vision_model")
        if kind == "clip":
            width = file.whole_or("projection_dim", 512, 2**16)
            text, vision = (_projected(tower, width) for tower in (text, vision))
        return Towers(text=text, vision=vision, bias=kind == "siglip")

    def names(self, description: Towers) -> Stacks:
        """See `TowersFamily`."""
        kind = clip_text.SIGLIP if description.bias else clip_text.CLIP
        texts = clip_text.text_names(kind, inside="text_model.")
        alone = {name: name for name in ("logit_scale", "logit_bias")}
        return Stacks(
            {
                "": Names(layer="", modules={}, tables={WORDS: texts.tables[WORDS], **alone}),
                TEXT: texts,
                VISION: clip_vision.vision_names(description.vision, inside="vision_model."),
            }
        )


def _projected(tower: Description, width: int) -> Description:
    assert tower.pooled is not None, "CLIP's towers end in a vector"
    return replace(tower, pooled=replace(tower.pooled, width=width))


ARCHITECTURE = ClipFamily()
