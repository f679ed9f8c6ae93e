"""Whisper: an encoder of log-mel spectrograms, and a decoder of text that reads what it made.

A token of the encoder is two times of the spectrogram, 20 ms; 30 s are 1,500 tokens.
Source: Radford et al. 2022, arXiv:2212.04356; where it leaves room, transformers, models/whisper.
"""

from __future__ import annotations

import math

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Description,
    Embedding,
    EncoderDecoder,
    Head,
    Layer,
    Norm,
    PositionTable,
)
from inferstack.models.families.bart import EPSILON, MODULES, layer_of
from inferstack.models.family import EncoderDecoderFamily
from inferstack.models.names import DECODER_STACK, Names, Stacks
from inferstack.models.senses import Signal


class WhisperFamily(EncoderDecoderFamily):
    """See the module."""

    model_types = frozenset({"whisper"})

    def describe(self, file: ConfigFile) -> EncoderDecoder:
        """See `EncoderDecoderFamily`."""
        hidden = file.whole("d_model", 2**16)
        norm = Norm(kind="layernorm", epsilon=EPSILON)
        vocabulary = file.whole("vocab_size", 2**24)
        rows = file.whole("max_target_positions", 2**22)

        def layers(stack: str) -> tuple[Layer, ...]:
            layer = layer_of(file, stack, hidden, norm, key_bias=False)
            return (layer,) * file.whole(f"{stack}_layers", 2**10)

        encoder = Description(
            vocabulary=vocabulary,
            hidden=hidden,
            layers=layers("encoder"),
            longest=file.whole("max_source_positions", 2**22),
            causal=False,
            final_norm=norm,
            signal=Signal(features=file.whole("num_mel_bins", 2**12)),
        )
        decoder = Description(
            vocabulary=vocabulary,
            hidden=hidden,
            layers=layers("decoder"),
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
        return Stacks({"": _names("encoder"), DECODER_STACK: _names("decoder")})


def _names(stack: str) -> Names:
    return Names(
        prefixes=("model.", ""),
        layer=f"{stack}.layers.{{n}}",
        modules=MODULES,
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
