"""Vision Transformers, ViT, DeiT, CLIP's and SigLIP's: squares of an image as tokens.

Output: the last hidden state, behind the last norm (CLIP's vision tower: in front of it).
Source: Dosovitskiy et al. 2020, arXiv:2010.11929; Touvron et al. 2020, arXiv:2012.12877; Radford et
al. 2021, arXiv:2103.00020; Zhai et al. 2023, arXiv:2303.15343; where they leave room, transformers,
models/vit, deit, clip, siglip.
"""

from __future__ import annotations

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Attention,
    Description,
    Embedding,
    FeedForward,
    Layer,
    Norm,
    Patches,
)
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names
from inferstack.models.reading import activation

LEADING = {"vit": 1, "deit": 2, "clip_vision_model": 1, "siglip_vision_model": 0}
"""Learned tokens in front: the class, and DeiT's distilled one."""


class VitFamily(Family):
    """See the module."""

    model_types = frozenset(LEADING)
    phases = ENCODER
    sees_tokens = False

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        kind = file.text("model_type")
        hidden, heads = file.whole("hidden_size", 2**16), file.whole("num_attention_heads", 2**12)
        file.multiple("hidden_size", hidden, "num_attention_heads", heads)
        clip = kind == "clip_vision_model"
        norm = Norm(kind="layernorm", epsilon=file.number("layer_norm_eps", 1e-20, 1.0))
        image, size = file.whole("image_size", 2**14), file.whole("patch_size", 2**12)
        file.multiple("image_size", image, "patch_size", size)
        of = Patches(
            image=image,
            size=size,
            channels=file.whole_or("num_channels", 3, 2**10),
            leading=LEADING[kind],
            bias=not clip,
        )
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
            embedding=Embedding(norm=norm if clip else None),
            final_norm=None if clip else norm,
            patches=of,
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        of = description.patches
        assert of is not None, "the family sees images"
        if description.embedding.norm is not None or not of.leading:
            return _clip_names(siglip=not of.leading)
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


def _clip_names(*, siglip: bool) -> Names:
    modules = {
        "attention_norm": "layer_norm1",
        "ffn_norm": "layer_norm2",
        "intermediate": "mlp.fc1",
        "ffn_output": "mlp.fc2",
    }
    for slot, theirs in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "out")):
        modules[slot] = f"self_attn.{theirs}_proj"
    return Names(
        prefixes=("vision_model.", ""),
        layer="encoder.layers.{n}",
        modules=modules,
        tables={
            "embedding.leading0": "embeddings.class_embedding",
            "embedding.position": "embeddings.position_embedding.weight",
        },
        others={
            "embedding.patch": "embeddings.patch_embedding",
            "embedding.norm": "pre_layrnorm",
            "final_norm": "post_layernorm",
        },
        straight=frozenset({"embedding.patch"}),
    )


ARCHITECTURE = VitFamily()
