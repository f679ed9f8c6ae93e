"""MPT: GPT-2's layers without any bias, with slopes of distance instead of positions.

Source: MosaicML 2023, Introducing MPT-7B; transformers, models/mpt.
"""

from __future__ import annotations

from inferstack.core.errors import CheckpointError
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Attention, Description, FeedForward, Head, Layer
from inferstack.models.family import Family
from inferstack.models.names import Names, qkv
from inferstack.models.reading import decoder, head_sizes, layernorm


class MptFamily(Family):
    """See the module."""

    model_types = frozenset({"mpt"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, _, width = head_sizes(file, "d_model", "n_heads")
        own = _attention(file)
        if heads & (heads - 1):
            raise CheckpointError(
                file.where, "n_heads is not supported", got=heads,
                need="a power of two, for which the slopes are in the paper's order",
            )  # fmt: skip
        file.only("no_bias", True)
        file.only("expansion_ratio", 4)
        file.only("logit_scale", None)
        norm = layernorm(file, "layer_norm_epsilon", bias=False)
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=heads,
                width=width,
                scale=own.number("softmax_scale", 1e-6, 1e6) if own.has("softmax_scale") else None,
                alibi=True,
                clip=own.number("clip_qkv", 1e-6, 1e6) if own.has("clip_qkv") else None,
            ),
            feed_forward=FeedForward(inner=4 * hidden, activation="gelu"),
            norm=norm,
        )
        return decoder(
            file,
            hidden,
            (layer,) * file.whole("n_layers", 2**10),
            norm,
            Head(tied=file.flag("tie_word_embeddings", True)),
            longest=file.whole("max_seq_len", 2**24),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        of = description.layers[0].attention
        return Names(
            prefixes=("", "transformer."),
            layer="blocks.{n}",
            modules={
                **dict.fromkeys(("query", "key", "value"), "attn.Wqkv"),
                "output": "attn.out_proj",
                "intermediate": "ffn.up_proj",
                "ffn_output": "ffn.down_proj",
                "attention_norm": "norm_1",
                "ffn_norm": "norm_2",
            },
            tables={"embedding.word": "wte.weight"},
            others={"final_norm": "norm_f", "head": "lm_head"},
            parts=qkv(of.heads, of.heads, of.width),
        )


def _attention(file: ConfigFile) -> ConfigFile:
    """attn_config, whose other values no public model has."""
    said = file.optional("attn_config", None)
    where = f"{file.where}, attn_config"
    if said is not None and not isinstance(said, dict):
        raise CheckpointError(where, "is not a JSON object")
    own = ConfigFile(where, said or {})
    own.only("attn_type", "multihead_attention")
    own.only("prefix_lm", False)
    own.only("qk_ln", False)
    own.only("alibi", True)
    own.only("alibi_bias_max", 8)
    return own


ARCHITECTURE = MptFamily()
