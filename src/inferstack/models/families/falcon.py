"""Falcon: attention and feed-forward side by side, few keys and values in the queries' tensor.

The models of RefinedWeb have slopes of distance, added before scores are scaled, and no parallel
branches; the large ones two norms.
Source: Almazrouei et al. 2023, arXiv:2311.16867; Penedo et al. 2023, arXiv:2306.01116; where they
leave room, transformers, models/falcon.
"""

from __future__ import annotations

from inferstack.core.errors import CheckpointError
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    FeedForward,
    Head,
    Layer,
)
from inferstack.models.family import Family
from inferstack.models.names import Names, qkv
from inferstack.models.reading import activation, decoder, head_sizes, layernorm, read_rotary


class FalconFamily(Family):
    """See the module."""

    model_types = frozenset({"falcon"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        depth_key = "n_layer" if file.has("n_layer") else "num_hidden_layers"
        heads_key = "n_head" if file.has("n_head") else "num_attention_heads"
        kv_key = "n_head_kv" if file.has("n_head_kv") else "num_kv_heads"
        hidden, heads, kv_heads, width = head_sizes(file, heads_key=heads_key, kv_key=kv_key)
        if not file.flag("new_decoder_architecture", False):
            kv_heads = 1 if file.flag("multi_query", True) else heads
        bias = file.flag("bias", False)
        alibi = file.flag("alibi", False)
        norm = layernorm(file, "layer_norm_epsilon")
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=kv_heads,
                width=width,
                bias=bias,
                output_bias=bias,
                rotary=None if alibi else read_rotary(file, width),
                alibi=alibi,
                alibi_scale=width**-0.5,
            ),
            feed_forward=FeedForward(
                inner=file.whole_or("ffn_hidden_size", 4 * hidden, 2**20),
                activation=activation(file, "activation", absent="gelu"),
                bias=bias,
            ),
            norm=norm,
            arrangement=_arrangement(file),
        )
        return decoder(
            file,
            hidden,
            (layer,) * file.whole(depth_key, 2**10),
            norm,
            Head(tied=file.flag("tie_word_embeddings", True)),
            longest=file.whole_or("max_position_embeddings", 2048, 2**24),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        layer = description.layers[0]
        of = layer.attention
        norms = ("input_layernorm", "post_attention_layernorm")
        if layer.arrangement is Arrangement.PARALLEL_TWO:
            norms = ("ln_attn", "ln_mlp")
        return Names(
            prefixes=("", "transformer."),
            layer="h.{n}",
            modules={
                **dict.fromkeys(("query", "key", "value"), "self_attention.query_key_value"),
                "output": "self_attention.dense",
                "intermediate": "mlp.dense_h_to_4h",
                "ffn_output": "mlp.dense_4h_to_h",
                "attention_norm": norms[0],
                "ffn_norm": norms[1],
            },
            tables={"embedding.word": "word_embeddings.weight"},
            others={"final_norm": "ln_f", "head": "lm_head"},
            parts=qkv(of.heads, of.kv_heads, of.width, groups=of.kv_heads),
        )


def _arrangement(file: ConfigFile) -> Arrangement:
    """Of the norms: two in parallel in the new decoders, unless they say one."""
    parallel = file.flag("parallel_attn", True)
    new = file.flag("new_decoder_architecture", False)
    norms = file.whole_or("num_ln_in_parallel_attn", 2 if new else 1, 2)
    if (new and not parallel) or (norms == 2 and not new):
        raise CheckpointError(
            file.where,
            "no Falcon has such norms",
            got=f"new_decoder_architecture {new}, parallel_attn {parallel}, {norms} norms",
        )
    if not parallel:
        return Arrangement.PRE
    return Arrangement.PARALLEL_TWO if norms == 2 else Arrangement.PARALLEL


ARCHITECTURE = FalconFamily()
