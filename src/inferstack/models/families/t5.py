"""T5 and its relatives: pre-norm stacks with relative positions in buckets, and no biases.

Source: Raffel et al. 2020, arXiv:1910.10683; Xue et al. 2020, arXiv:2010.11934 (mT5); Chung et al.
2022, arXiv:2210.11416 (Flan-T5); Chung et al. 2023, arXiv:2304.09151 (UMT5); where they leave room,
transformers, models/t5, mt5 and umt5.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Attention,
    Buckets,
    Description,
    EncoderDecoder,
    FeedForward,
    Head,
    Layer,
    Norm,
)
from inferstack.models.family import EncoderDecoderFamily
from inferstack.models.names import DECODER_STACK, Names, Stacks
from inferstack.models.reading import ACTIVATIONS, LONGEST_SEQUENCE


class T5Family(EncoderDecoderFamily):
    """See the module."""

    model_types = frozenset({"t5", "mt5", "umt5"})

    def describe(self, file: ConfigFile) -> EncoderDecoder:
        """See `EncoderDecoderFamily`."""
        kind, hidden = file.text("model_type"), file.whole("d_model", 2**16)
        heads, width = file.whole("num_heads", 2**12), file.whole("d_kv", 2**13)
        norm = Norm(kind="rmsnorm", epsilon=file.number("layer_norm_epsilon", 1e-20, 1.0))
        buckets = Buckets(
            count=file.whole_or("relative_attention_num_buckets", 32, 2**16, least=4),
            longest=file.whole_or("relative_attention_max_distance", 128, 2**24),
            both_ways=True,
            each=kind == "umt5",
        )
        own = Attention(heads=heads, kv_heads=heads, width=width, scale=1.0, buckets=buckets)
        layer = Layer(attention=own, feed_forward=_feed_forward(file), norm=norm)
        depth = file.whole("num_layers", 2**10)
        vocabulary = file.whole("vocab_size", 2**24)
        tied = file.flag("tie_word_embeddings", True)
        # transformers 5 ties all words and heads, and keeps here what an untied config meant.
        scaled = kind != "mt5" and file.flag("scale_decoder_outputs", tied)
        encoder = Description(
            vocabulary=vocabulary,
            hidden=hidden,
            layers=(layer,) * depth,
            longest=LONGEST_SEQUENCE,
            causal=False,
            final_norm=norm,
        )
        back = replace(own, buckets=replace(buckets, both_ways=False))
        layer = replace(layer, attention=back, cross=replace(own, buckets=None))
        decoder = replace(
            encoder,
            layers=(layer,) * file.whole_or("num_decoder_layers", depth, 2**10),
            causal=True,
            head=Head(tied=tied, scale=hidden**-0.5 if scaled else None),
        )
        return EncoderDecoder(encoder=encoder, decoder=decoder)

    def names(self, description: EncoderDecoder) -> Stacks:
        """See `EncoderDecoderFamily`."""
        gated = description.encoder.layers[0].feed_forward.gated
        encoder = _names("encoder", 1, gated=gated)
        return Stacks({"": encoder, DECODER_STACK: _names("decoder", 2, gated=gated)})


def _feed_forward(file: ConfigFile) -> FeedForward:
    """feed_forward_proj: relu, gated-gelu, ..."""
    said = file.text("feed_forward_proj") if file.has("feed_forward_proj") else "relu"
    gated, _, name = said.rpartition("-")
    # What T5 calls gelu is its tanh form.
    name = "gelu_new" if said == "gated-gelu" else name
    if gated not in ("", "gated") or name not in ACTIVATIONS:
        raise CheckpointError(
            file.where, "feed_forward_proj is not supported", got=printable(said),
            need="an activation, or gated- and one",
        )  # fmt: skip
    return FeedForward(
        inner=file.whole("d_ff", 2**20), activation=ACTIVATIONS[name], gated=gated == "gated"
    )


def _names(stack: str, last: int, *, gated: bool) -> Names:
    """last: the number of the feed-forward in a block."""
    own, cross, wide = "layer.0.SelfAttention", "layer.1.EncDecAttention", f"layer.{last}"
    modules = {
        "attention_norm": "layer.0.layer_norm",
        "cross_norm": "layer.1.layer_norm",
        "ffn_norm": f"{wide}.layer_norm",
        "gate": f"{wide}.DenseReluDense.wi_0",
        "intermediate": f"{wide}.DenseReluDense.{'wi_1' if gated else 'wi'}",
        "ffn_output": f"{wide}.DenseReluDense.wo",
    }
    for slot, letter in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "o")):
        modules |= {slot: f"{own}.{letter}", f"cross_{slot}": f"{cross}.{letter}"}
    bias = f"{own}.relative_attention_bias.weight"
    return Names(
        layer=f"{stack}.block.{{n}}",
        modules=modules,
        tables={
            "embedding.word": "shared.weight",
            "position_bias": f"{stack}.block.0.{bias}",
            "position_table": bias,
        },
        others={"final_norm": f"{stack}.final_layer_norm", "head": "lm_head"},
    )


ARCHITECTURE = T5Family()
