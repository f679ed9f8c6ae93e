"""BART and its relatives: encoder and decoder with biases, learned or computed positions.

bart: norms behind; mbart, pegasus, m2m_100 (NLLB): norms in front; marian: norms behind, no norm of
the embeddings. Source: Lewis et al. 2019, arXiv:1910.13461; Liu et al. 2020, arXiv:2001.08210;
Zhang et al. 2019, arXiv:1912.08777; Junczys-Dowmunt et al. 2018, arXiv:1804.00344; Fan et al. 2020,
arXiv:2010.11125; where they leave room, transformers, models/bart, mbart, pegasus, marian, m2m_100.
"""

from __future__ import annotations

import math
from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    Embedding,
    EncoderDecoder,
    FeedForward,
    Head,
    Layer,
    Norm,
    PositionTable,
)
from inferstack.models.family import EncoderDecoderFamily
from inferstack.models.names import DECODER_STACK, Names, Stacks
from inferstack.models.reading import activation

EPSILON = 1e-5
BEHIND = frozenset({"bart", "marian", "mvp", "plbart"})
"""Whose norms stand behind the residuals."""
NORMED = frozenset({"bart", "mbart", "mvp", "plbart"})
"""Whose embeddings have a norm."""
LEARNED = frozenset({"bart", "blenderbot", "mbart", "mvp", "plbart"})
"""Whose positions are learned."""
SCALED = frozenset({"m2m_100", "plbart"})
"""Whose words are scaled where the config does not say."""
MODULES = {
    "attention_norm": "self_attn_layer_norm",
    "cross_norm": "encoder_attn_layer_norm",
    "ffn_norm": "final_layer_norm",
    "intermediate": "fc1",
    "ffn_output": "fc2",
} | {
    f"{slot}{place}": f"{attends}.{theirs}_proj"
    for slot, attends in (("", "self_attn"), ("cross_", "encoder_attn"))
    for place, theirs in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "out"))
}
"""What both stacks call the modules of a layer."""


class BartFamily(EncoderDecoderFamily):
    """See the module."""

    model_types = frozenset(
        {"bart", "blenderbot", "m2m_100", "marian", "mbart", "mvp", "pegasus", "plbart"}
    )

    def describe(self, file: ConfigFile) -> EncoderDecoder:
        """See `EncoderDecoderFamily`."""
        kind = file.text("model_type")
        hidden = file.whole("d_model", 2**16)
        if kind == "marian":
            file.only("share_encoder_decoder_embeddings", True)
        if kind in NORMED:
            file.only("normalize_embedding", True)
        if kind == "mvp":
            file.only("use_prompt", False)
        norm = Norm(kind="layernorm", epsilon=EPSILON)
        rows = file.whole("max_position_embeddings", 2**22)
        tied = file.flag("tie_word_embeddings", True)
        embedding = Embedding(
            scale=math.sqrt(hidden) if file.flag("scale_embedding", kind in SCALED) else None,
            positions=_positions(file, kind, rows),
            norm=norm if kind in NORMED else None,
        )

        def stack(name: str) -> Description:
            layer = layer_of(file, name, hidden, norm)
            if kind in BEHIND:
                layer = replace(layer, arrangement=Arrangement.POST)
            return Description(
                vocabulary=file.whole("vocab_size", 2**24),
                hidden=hidden,
                layers=(layer,) * file.whole(f"{name}_layers", 2**10),
                longest=rows,
                causal=name == "decoder",
                embedding=embedding,
                final_norm=None if kind in BEHIND else norm,
            )

        decoder = replace(stack("decoder"), head=Head(tied=tied, bias=kind != "m2m_100"))
        return EncoderDecoder(encoder=stack("encoder"), decoder=decoder)

    def names(self, description: EncoderDecoder) -> Stacks:
        """See `EncoderDecoderFamily`."""
        return Stacks({"": _names("encoder"), DECODER_STACK: _names("decoder")})


def _positions(file: ConfigFile, kind: str, rows: int) -> PositionTable:
    if kind == "blenderbot":
        return PositionTable(rows=rows)
    if kind in LEARNED:
        return PositionTable(rows=rows + 2, skipped=2)
    if kind == "m2m_100":
        padding = file.whole("pad_token_id", 2**24, least=0)
        return PositionTable(rows=rows + 2, padding_id=padding, sinusoid="pairs less one")
    return PositionTable(rows=rows, sinusoid="pairs")


def layer_of(
    file: ConfigFile, stack: str, hidden: int, norm: Norm, *, key_bias: bool = True
) -> Layer:
    """A layer of "encoder" or "decoder", its norms in front."""
    heads = file.whole(f"{stack}_attention_heads", 2**12)
    file.multiple("d_model", hidden, f"{stack}_attention_heads", heads)
    attention = Attention(
        heads=heads,
        kv_heads=heads,
        width=hidden // heads,
        bias=True,
        key_bias=key_bias,
        output_bias=True,
    )
    return Layer(
        attention=attention,
        feed_forward=FeedForward(
            inner=file.whole(f"{stack}_ffn_dim", 2**20),
            activation=activation(file, "activation_function"),
            bias=True,
        ),
        norm=norm,
        cross=attention if stack == "decoder" else None,
    )


def _names(stack: str) -> Names:
    return Names(
        prefixes=("model.", ""),
        layer=f"{stack}.layers.{{n}}",
        modules=MODULES,
        tables={
            "embedding.word": "shared.weight",
            "embedding.position": f"{stack}.embed_positions.weight",
            "head.bias": "final_logits_bias",
        },
        others={
            "embedding.norm": f"{stack}.layernorm_embedding",
            "final_norm": f"{stack}.layer_norm",
            "head": "lm_head",
        },
    )


ARCHITECTURE = BartFamily()
