"""Whisper: an encoder of log-mel spectrograms, and a decoder of text that reads what it made.

A token of the encoder is two times of the spectrogram, 20 ms; 30 s are 1,500 tokens.
Source: Radford et al. 2022, arXiv:2212.04356; where it leaves room, transformers, models/whisper.
"""

from __future__ import annotations

import math

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Attention,
    Description,
    Embedding,
    EncoderDecoder,
    FeedForward,
    Head,
    Layer,
    Norm,
    PositionTable,
    Signal,
)
from inferstack.models.family import EncoderDecoderFamily
from inferstack.models.names import Names, Stacks
from inferstack.models.reading import activation

EPSILON = 1e-5


class WhisperFamily(EncoderDecoderFamily):
    """See the module."""

    model_types = frozenset({"whisper"})

    def describe(self, file: ConfigFile) -> EncoderDecoder:
        """See `EncoderDecoderFamily`."""
        hidden = file.whole("d_model", 2**16)
        norm = Norm(kind="layernorm", epsilon=EPSILON)
        vocabulary = file.whole("vocab_size", 2**24)
        rows = file.whole("max_target_positions", 2**22)
        encoder = Description(
            vocabulary=vocabulary,
            hidden=hidden,
            layers=(_layer(file, "encoder", hidden, norm),) * file.whole("encoder_layers", 2**10),
            longest=file.whole("max_source_positions", 2**22),
            causal=False,
            final_norm=norm,
            signal=Signal(features=file.whole("num_mel_bins", 2**12)),
        )
        decoder = Description(
            vocabulary=vocabulary,
            hidden=hidden,
            layers=(_layer(file, "decoder", hidden, norm),) * file.whole("decoder_layers", 2**10),
            longest=rows,
            causal=True,
            embedding=Embedding(
                scale=math.sqrt(hidden) if file.flag("scale_embedding", False) else None,
                positions=PositionTable(rows=rows),
            ),
            final_norm=norm,
            head=Head(tied=file.flag("tie_word_embeddings", True)),
        )
        return EncoderDecoder(encoder=encoder, decoder=decoder)

    def names(self, description: EncoderDecoder) -> Stacks:
        """See `EncoderDecoderFamily`."""
        return Stacks(encoder=_names("encoder"), decoder=_names("decoder"))


def _layer(file: ConfigFile, stack: str, hidden: int, norm: Norm) -> Layer:
    heads = file.whole(f"{stack}_attention_heads", 2**12)
    file.multiple("d_model", hidden, f"{stack}_attention_heads", heads)
    attention = Attention(
        heads=heads,
        kv_heads=heads,
        width=hidden // heads,
        bias=True,
        key_bias=False,
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
    modules = {
        "attention_norm": "self_attn_layer_norm",
        "cross_norm": "encoder_attn_layer_norm",
        "ffn_norm": "final_layer_norm",
        "intermediate": "fc1",
        "ffn_output": "fc2",
    }
    for slot, theirs in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "out")):
        modules[slot] = f"self_attn.{theirs}_proj"
        modules[f"cross_{slot}"] = f"encoder_attn.{theirs}_proj"
    return Names(
        prefixes=("model.", ""),
        layer=f"{stack}.layers.{{n}}",
        modules=modules,
        tables={
            "embedding.word": "decoder.embed_tokens.weight",
            "embedding.position": f"{stack}.embed_positions.weight",
        },
        others={
            "embedding.conv1": "encoder.conv1",
            "embedding.conv2": "encoder.conv2",
            "final_norm": f"{stack}.layer_norm",
            "head": "proj_out",
        },
        straight=frozenset({"embedding.conv1", "embedding.conv2"}),
    )


ARCHITECTURE = WhisperFamily()
