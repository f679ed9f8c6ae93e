"""Vision Transformers, ViT and DeiT: squares of an image as tokens.

Output: the last hidden state, behind the last norm.
Source: Dosovitskiy et al. 2020, arXiv:2010.11929; Touvron et al. 2020, arXiv:2012.12877; where they
leave room, transformers, models/vit, deit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Attention,
    Description,
    FeedForward,
    Layer,
    Norm,
)
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names
from inferstack.models.reading import activation
from inferstack.models.senses import Patches

LEADING = {"vit": 1, "deit": 2}
"""Learned tokens in front: the class, and DeiT's distilled one."""


def patches(file: ConfigFile, *, leading: int, bias: bool) -> Patches:
    """The squares of an image_size in squares of patch_size; what is left at its edge is unseen."""
    image = file.whole("image_size", 2**14)
    size = file.whole("patch_size", min(image, 2**12))
    channels = file.whole_or("num_channels", 3, 2**10)
    return Patches(image=image, size=size, channels=channels, leading=leading, bias=bias)


class VitFamily(Family):
    """See the module."""

    model_types = frozenset(LEADING)
    leading: ClassVar[Mapping[str, int]] = LEADING
    phases = ENCODER
    sees_tokens = False

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        kind = file.text("model_type")
        hidden, heads = file.whole("hidden_size", 2**16), file.whole("num_attention_heads", 2**12)
        file.multiple("hidden_size", hidden, "num_attention_heads", heads)
        norm = Norm(kind="layernorm", epsilon=file.number("layer_norm_eps", 1e-20, 1.0))
        of = patches(file, leading=self.leading[kind], bias=True)
        bias = file.flag("qkv_bias", True)
        layer = Layer(
            attention=Attention(
                heads=heads, kv_heads=heads, width=hidden // heads, bias=bias, output_bias=True
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act"),
                bias=True,
            ),
            norm=norm,
        )
        return Description(
            vocabulary=0,
            hidden=hidden,
            layers=(layer,) * file.whole("num_hidden_layers", 2**10),
            longest=of.tokens,
            causal=False,
            final_norm=norm,
            patches=of,
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        modules = {
            "query": "attention.attention.query",
            "key": "attention.attention.key",
            "value": "attention.attention.value",
            "output": "attention.output.dense",
            "intermediate": "intermediate.dense",
            "ffn_output": "output.dense",
            "attention_norm": "layernorm_before",
            "ffn_norm": "layernorm_after",
        }
        return Names(
            prefixes=("", "vit.", "deit."),
            layer="encoder.layer.{n}",
            modules=modules,
            tables={
                "embedding.leading0": "embeddings.cls_token",
                "embedding.leading1": "embeddings.distillation_token",
                "embedding.position": "embeddings.position_embeddings",
            },
            others={
                "embedding.patch": "embeddings.patch_embeddings.projection",
                "final_norm": "layernorm",
            },
            straight=frozenset({"embedding.patch"}),
        )


ARCHITECTURE = VitFamily()
