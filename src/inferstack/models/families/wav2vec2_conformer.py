"""wav2vec 2.0 with the layers of a conformer, and rotary, relative or no positions.

Its file has a convolution for positions as well, which its own code does not run.
Source: Wang et al. 2020, arXiv:2010.05171 (fairseq); Gulati et al. 2020, arXiv:2005.08100; where
they leave room, transformers, models/wav2vec2_conformer.
"""

from __future__ import annotations

from inferstack.core.errors import CheckpointError
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    FeedForward,
    Layer,
    Norm,
)
from inferstack.models.families.wav2vec2 import PREFIXES, letters, plain, sound_names, sound_of
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names, Part
from inferstack.models.reading import LONGEST_SEQUENCE, activation
from inferstack.models.rotary import Rotary

EPSILON = 1e-5
"""Of the norms of a layer, whatever the config says: torch's own."""
POSITIONS = {"relative": "relative", "rotary": "rotary"}


class Wav2Vec2ConformerFamily(Family):
    """See the module."""

    model_types = frozenset({"wav2vec2-conformer"})
    phases = ENCODER

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        plain(file)
        hidden, heads = file.whole("hidden_size", 2**16), file.whole("num_attention_heads", 2**12)
        file.multiple("hidden_size", hidden, "num_attention_heads", heads)
        norm = Norm(kind="layernorm", epsilon=file.number_or("layer_norm_eps", 1e-5, 1e-20, 1.0))
        kernel = file.whole("conv_depthwise_kernel_size", 2**12)
        if kernel % 2 == 0:
            raise CheckpointError(
                file.where,
                "conv_depthwise_kernel_size is even",
                got=kernel,
                need="an odd number: as many times before a token as behind it",
            )
        placed, rotary = "", None
        if file.has("position_embeddings_type"):
            placed = file.choice("position_embeddings_type", POSITIONS)
        if placed == "rotary":
            base = file.number_or("rotary_embedding_base", 10000.0, 1.0, 1e15)
            rotary = Rotary(width=hidden // heads, theta=base)
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=heads,
                width=hidden // heads,
                bias=True,
                output_bias=True,
                rotary=rotary,
                turned_before=rotary is not None,
                sinusoids=placed == "relative",
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act"),
                bias=True,
            ),
            norm=Norm(kind="layernorm", epsilon=EPSILON),
            arrangement=Arrangement.CONFORMER,
            kernel=kernel,
        )
        head = letters(file)
        absent = 0 if head is None else file.whole("vocab_size", 2**24)
        return Description(
            vocabulary=file.whole_or("vocab_size", absent, 2**24),
            hidden=hidden,
            layers=(layer,) * file.whole("num_hidden_layers", 2**10),
            longest=LONGEST_SEQUENCE,
            causal=False,
            final_norm=norm,
            head=head,
            sound=sound_of(file, norm.epsilon),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        assert description.sound is not None, "the family hears"
        of, halves = description.layers[0].attention, (description.hidden,) * 2
        modules = {
            "query": "self_attn.linear_q",
            "key": "self_attn.linear_k",
            "value": "self_attn.linear_v",
            "output": "self_attn.linear_out",
            "position_key": "self_attn.linear_pos",
            "attention_norm": "self_attn_layer_norm",
            "conv.norm": "conv_module.layer_norm",
            "conv.value": "conv_module.pointwise_conv1",
            "conv.gate": "conv_module.pointwise_conv1",
            "conv.depthwise": "conv_module.depthwise_conv",
            "conv.batchnorm": "conv_module.batch_norm",
            "conv.output": "conv_module.pointwise_conv2",
            "out_norm": "final_layer_norm",
        }
        for half in ("ffn1", "ffn2"):
            modules[f"{half}.norm"] = f"{half}_layer_norm"
            modules[f"{half}.intermediate"] = f"{half}.intermediate_dense"
            modules[f"{half}.ffn_output"] = f"{half}.output_dense"
        others = sound_names(len(description.sound.convolutions))
        others["final_norm"] = "encoder.layer_norm"
        return Names(
            prefixes=PREFIXES,
            layer="encoder.layers.{n}",
            modules=modules,
            tables={
                "content.bias": "self_attn.pos_bias_u",
                "distance.bias": "self_attn.pos_bias_v",
            },
            others=others,
            parts={
                f"conv.{slot}": Part(groups=1, sizes=halves, index=index)
                for index, slot in enumerate(("value", "gate"))
            },
            straight=frozenset({"conv.depthwise", *(name for name in others if "conv" in name)}),
            heads=(of.heads, of.width),
        )


ARCHITECTURE = Wav2Vec2ConformerFamily()
