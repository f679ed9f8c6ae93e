"""The text's side of CLIP and SigLIP by itself: a Transformer that ends in one vector.

CLIP's, in which a token sees the earlier ones alone, is that of the token that ends the text, and
projected where `architectures` says so; SigLIP's is that of the last token, projected. Outputs: the
last hidden state, the vector.
Source: Radford et al. 2021, arXiv:2103.00020; Zhai et al. 2023, arXiv:2303.15343; where they leave
room, transformers, models/clip, siglip.
"""

from __future__ import annotations

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Description, Embedding, Pooled, PositionTable
from inferstack.models.families.clip_vision import MODULES, layer_of
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names
from inferstack.models.reading import projection_width

CLIP, SIGLIP = "clip_text_model", "siglip_text_model"
END = 49407
"""CLIP's token that ends a text, where the config does not say."""
OLD_END = 2
"""What old configs say instead, and did not mean: the largest id ends a text there."""


def text_tower(file: ConfigFile, kind: str) -> Description:
    """The stack of a text config."""
    hidden, layer = layer_of(file)
    clip, vocabulary = kind == CLIP, file.whole("vocab_size", 2**24)
    pooled = Pooled(token=-1, width=file.whole_or("projection_size", hidden, 2**16), bias=True)
    if clip:
        end = file.whole_or("eos_token_id", END, 2**24, least=0)
        end_id = None if end == OLD_END else end
        pooled = Pooled(end=end_id, width=projection_width(file))
    rows = file.whole("max_position_embeddings", 2**22)
    return Description(
        vocabulary=vocabulary,
        hidden=hidden,
        layers=(layer,) * file.whole("num_hidden_layers", 2**10),
        longest=rows,
        causal=clip,
        at_once=True,
        embedding=Embedding(positions=PositionTable(rows=rows)),
        final_norm=layer.norm,
        pooled=pooled,
    )


def text_names(kind: str, *, inside: str = "") -> Names:
    """The names of its weights. inside: of what holds it in a file of both sides."""
    head = "text_projection" if kind == CLIP else f"{inside}head"
    return Names(
        prefixes=("",) if inside else ("text_model.", ""),
        layer=f"{inside}encoder.layers.{{n}}",
        modules=MODULES,
        tables={
            "embedding.word": f"{inside}embeddings.token_embedding.weight",
            "embedding.position": f"{inside}embeddings.position_embedding.weight",
        },
        others={"final_norm": f"{inside}final_layer_norm", "pooled.projection": head},
    )


class ClipTextFamily(Family):
    """See the module."""

    model_types = frozenset({CLIP, SIGLIP})
    phases = ENCODER

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        return text_tower(file, file.text("model_type"))

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return text_names(CLIP if description.causal else SIGLIP)


ARCHITECTURE = ClipTextFamily()
