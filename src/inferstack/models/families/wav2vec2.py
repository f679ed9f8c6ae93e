"""wav2vec 2.0, HuBERT and UniSpeech: samples of a sound through convolutions, then a Transformer.

A token is 20 ms where the convolutions are the usual ones. Outputs: the last hidden state, and the
logits of letters where `architectures` names a model with that head (CTC).
Source: Baevski et al. 2020, arXiv:2006.11477; Hsu et al. 2021, arXiv:2106.07447; Wang et al. 2021,
arXiv:2101.07597; where they leave room, transformers, models/wav2vec2, hubert, unispeech.
"""

from __future__ import annotations

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    Embedding,
    FeedForward,
    Head,
    Layer,
    Norm,
)
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names
from inferstack.models.reading import LONGEST_SEQUENCE, activation
from inferstack.models.senses import Sound, SoundConvolution

PREFIXES = ("wav2vec2.", "hubert.", "unispeech.", "unispeech_sat.", "wav2vec2_conformer.", "")
NORMS = {"group": "group", "layer": "layer"}


def sound_of(file: ConfigFile, epsilon: float) -> Sound:
    """The convolutions. epsilon: of the norm in front of the dense layer behind them."""
    count = file.whole("num_feat_extract_layers", 2**6)
    channels, kernels, strides = (
        _sizes(file, key, count) for key in ("conv_dim", "conv_kernel", "conv_stride")
    )
    kind = file.choice("feat_extract_norm", NORMS)
    return Sound(
        convolutions=tuple(
            SoundConvolution(
                channels=channels[number],
                kernel=kernels[number],
                stride=strides[number],
                # One of groups is behind the first alone.
                norm=kind if kind == "layer" or not number else "",
            )
            for number in range(count)
        ),
        activation=activation(file, "feat_extract_activation"),
        bias=file.flag("conv_bias", False),
        norm=epsilon if file.flag("feat_proj_layer_norm", True) else None,
    )


def _sizes(file: ConfigFile, key: str, count: int) -> tuple[int, ...]:
    found = file.value(key)
    if (
        not isinstance(found, list)
        or len(found) != count
        or not all(type(one) is int and 0 < one < 2**16 for one in found)
    ):
        raise CheckpointError(
            file.where, f"{key} makes no sense", got=printable(str(found)),
            need=f"{count} sizes, as many as num_feat_extract_layers",
        )  # fmt: skip
    return tuple(found)


def letters(file: ConfigFile) -> Head | None:
    """The head of letters, where `architectures` names a model that has it."""
    named = file.optional("architectures", None)
    has_it = isinstance(named, list) and any(str(one).endswith("ForCTC") for one in named)
    return Head(tied=False, bias=True) if has_it else None


def plain(file: ConfigFile) -> None:
    """Refuses what would stand between the layers or behind them."""
    file.only("add_adapter", False)
    file.only("adapter_attn_dim", None)
    file.only("conv_pos_batch_norm", False)


def sound_names(count: int) -> dict[str, str]:
    """Names of what stands in front of the layers, with so many convolutions."""
    found = {"embedding.sound_norm": "feature_projection.layer_norm", "head": "lm_head"}
    found["embedding.projection"] = "feature_projection.projection"
    for number in range(count):
        place = f"feature_extractor.conv_layers.{number}"
        found[f"embedding.conv{number}"] = f"{place}.conv"
        found[f"embedding.conv{number}_norm"] = f"{place}.layer_norm"
    return found


class Wav2Vec2Family(Family):
    """See the module."""

    model_types = frozenset({"wav2vec2", "hubert", "unispeech", "unispeech-sat"})
    phases = ENCODER

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        plain(file)
        hidden, heads = file.whole("hidden_size", 2**16), file.whole("num_attention_heads", 2**12)
        file.multiple("hidden_size", hidden, "num_attention_heads", heads)
        norm = Norm(kind="layernorm", epsilon=file.number_or("layer_norm_eps", 1e-5, 1e-20, 1.0))
        groups = file.whole("num_conv_pos_embedding_groups", 2**12)
        file.multiple("hidden_size", hidden, "num_conv_pos_embedding_groups", groups)
        sound = sound_of(file, norm.epsilon)
        before = file.flag("do_stable_layer_norm", False)
        layer = Layer(
            attention=Attention(
                heads=heads, kv_heads=heads, width=hidden // heads, bias=True, output_bias=True
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act"),
                bias=True,
            ),
            norm=norm,
            arrangement=Arrangement.PRE if before else Arrangement.POST,
        )
        head = letters(file)
        absent = 0 if head is None else file.whole("vocab_size", 2**24)
        return Description(
            vocabulary=file.whole_or("vocab_size", absent, 2**24),
            hidden=hidden,
            layers=(layer,) * file.whole("num_hidden_layers", 2**10),
            longest=LONGEST_SEQUENCE,
            causal=False,
            embedding=Embedding(norm=None if before else norm),
            final_norm=norm if before else None,
            head=head,
            sound=Sound(
                convolutions=sound.convolutions,
                activation=sound.activation,
                bias=sound.bias,
                norm=sound.norm,
                position_kernel=file.whole("num_conv_pos_embeddings", 2**12),
                position_groups=groups,
            ),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        assert description.sound is not None, "the family hears"
        modules = {
            "query": "attention.q_proj",
            "key": "attention.k_proj",
            "value": "attention.v_proj",
            "output": "attention.out_proj",
            "attention_norm": "layer_norm",
            "intermediate": "feed_forward.intermediate_dense",
            "ffn_output": "feed_forward.output_dense",
            "ffn_norm": "final_layer_norm",
        }
        others = sound_names(len(description.sound.convolutions))
        others["embedding.position"] = "encoder.pos_conv_embed.conv"
        others["embedding.norm"] = others["final_norm"] = "encoder.layer_norm"
        return Names(
            prefixes=PREFIXES,
            layer="encoder.layers.{n}",
            modules=modules,
            tables={},
            others=others,
            straight=frozenset(name for name in others if "conv" in name or "position" in name),
            split=frozenset({"embedding.position"}),
        )


ARCHITECTURE = Wav2Vec2Family()
