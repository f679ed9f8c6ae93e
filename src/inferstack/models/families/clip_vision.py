"""The image's side of CLIP and SigLIP by itself: a Vision Transformer that ends in one vector.

CLIP's is the class token behind a norm and, where `architectures` says so, a projection; SigLIP's
is what a learned query finds. Outputs: the last hidden state, the vector.
Source: Radford et al. 2021, arXiv:2103.00020; Zhai et al. 2023, arXiv:2303.15343; where they leave
room, transformers, models/clip, siglip.
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
    Pooled,
)
from inferstack.models.families.vit import patches
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names, Part
from inferstack.models.reading import activation, projection_width

CLIP, SIGLIP = "clip_vision_model", "siglip_vision_model"
MODULES = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.out_proj",
    "attention_norm": "layer_norm1",
    "ffn_norm": "layer_norm2",
    "intermediate": "mlp.fc1",
    "ffn_output": "mlp.fc2",
}
HEAD = {
    "pooled.query": "head.attention.in_proj_{slot}",
    "pooled.key": "head.attention.in_proj_{slot}",
    "pooled.value": "head.attention.in_proj_{slot}",
    "pooled.output": "head.attention.out_proj",
    "pooled.ffn_norm": "head.layernorm",
    "pooled.intermediate": "head.mlp.fc1",
    "pooled.ffn_output": "head.mlp.fc2",
}


def layer_of(file: ConfigFile) -> tuple[int, Layer]:
    """The hidden size and the layer that both sides of both models have."""
    hidden, heads = file.whole("hidden_size", 2**16), file.whole("num_attention_heads", 2**12)
    file.multiple("hidden_size", hidden, "num_attention_heads", heads)
    layer = Layer(
        attention=Attention(
            heads=heads, kv_heads=heads, width=hidden // heads, bias=True, output_bias=True
        ),
        feed_forward=FeedForward(
            inner=file.whole("intermediate_size", 2**20),
            activation=activation(file, "hidden_act"),
            bias=True,
        ),
        norm=Norm(kind="layernorm", epsilon=file.number("layer_norm_eps", 1e-20, 1.0)),
    )
    return hidden, layer


def vision_tower(file: ConfigFile, kind: str) -> Description:
    """The stack of a vision config."""
    hidden, layer = layer_of(file)
    clip = kind == CLIP
    of = patches(file, leading=int(clip), bias=not clip)
    pooled = Pooled(token=0, norm=layer.norm, width=projection_width(file))
    if not clip:
        pooled = Pooled(probe=layer)
    has_vector = clip or file.flag("vision_use_head", True)
    return Description(
        vocabulary=0,
        hidden=hidden,
        layers=(layer,) * file.whole("num_hidden_layers", 2**10),
        longest=of.tokens,
        causal=False,
        embedding=Embedding(norm=layer.norm if clip else None),
        final_norm=None if clip else layer.norm,
        patches=of,
        pooled=pooled if has_vector else None,
    )


def vision_names(description: Description, *, inside: str = "") -> Names:
    """The names of its weights. inside: of what holds it in a file of both sides."""
    others = {
        "embedding.patch": "embeddings.patch_embedding",
        "embedding.norm": "pre_layrnorm",
        "pooled.norm": "post_layernorm",
        "final_norm": "post_layernorm",
        **HEAD,
    }
    sizes = (description.hidden,) * 3
    return Names(
        prefixes=("",) if inside else ("vision_model.", ""),
        layer=f"{inside}encoder.layers.{{n}}",
        modules=MODULES,
        tables={
            "embedding.leading0": f"{inside}embeddings.class_embedding",
            "embedding.position": f"{inside}embeddings.position_embedding.weight",
            "pooled.probe": f"{inside}head.probe",
        },
        others={
            **{ours: f"{inside}{theirs}" for ours, theirs in others.items()},
            "pooled.projection": "visual_projection",
        },
        parts={
            f"pooled.{slot}": Part(groups=1, sizes=sizes, index=index)
            for index, slot in enumerate(("query", "key", "value"))
        },
        straight=frozenset({"embedding.patch"}),
    )


class ClipVisionFamily(Family):
    """See the module."""

    model_types = frozenset({CLIP, SIGLIP})
    phases = ENCODER
    sees_tokens = False

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        return vision_tower(file, file.text("model_type"))

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return vision_names(description)


ARCHITECTURE = ClipVisionFamily()
