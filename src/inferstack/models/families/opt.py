"""OPT: GPT-2's layers with ReLU; the 350m norms behind the residual and has narrower words.

Source: Zhang et al. 2022, arXiv:2205.01068; where it leaves room, transformers, models/opt.
"""

from __future__ import annotations

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
    PositionTable,
)
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import activation, decoder, head_sizes

SKIPPED = 2
"""Rows of the table of positions in front of the first."""


class OptFamily(Family):
    """See the module."""

    model_types = frozenset({"opt"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, _, width = head_sizes(file)
        bias = file.flag("enable_bias", True)
        affine = file.flag("layer_norm_elementwise_affine", True)
        norm = Norm(kind="layernorm", epsilon=1e-5, bias=affine, gain=affine)
        before = file.flag("do_layer_norm_before", True)
        layer = Layer(
            attention=Attention(
                heads=heads, kv_heads=heads, width=width, bias=bias, output_bias=bias
            ),
            feed_forward=FeedForward(
                inner=file.whole("ffn_dim", 2**20),
                activation=activation(file, "activation_function", absent="relu"),
                bias=bias,
            ),
            norm=norm,
            arrangement=Arrangement.PRE if before else Arrangement.POST,
        )
        longest = file.whole("max_position_embeddings", 2**22)
        words = file.whole_or("word_embed_proj_dim", hidden, 2**17)
        narrow = words != hidden
        removed = file.flag("_remove_final_layer_norm", False)
        return decoder(
            file,
            hidden,
            (layer,) * file.whole("num_hidden_layers", 2**10),
            norm if before and not removed else None,
            Head(tied=file.flag("tie_word_embeddings", True), project=narrow),
            embedding=Embedding(
                width=words if narrow else None,
                words_alone=narrow,
                projection_bias=False,
                positions=PositionTable(rows=longest + SKIPPED, skipped=SKIPPED),
            ),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return Names(
            prefixes=("", "decoder.", "model.decoder."),
            layer="layers.{n}",
            modules={
                "query": "self_attn.q_proj",
                "key": "self_attn.k_proj",
                "value": "self_attn.v_proj",
                "output": "self_attn.out_proj",
                "intermediate": "fc1",
                "ffn_output": "fc2",
                "attention_norm": "self_attn_layer_norm",
                "ffn_norm": "final_layer_norm",
            },
            tables={
                "embedding.word": "embed_tokens.weight",
                "embedding.position": "embed_positions.weight",
            },
            others={
                "embedding.projection": "project_in",
                "final_norm": "final_layer_norm",
                "head.projection": "project_out",
                "head": "lm_head",
            },
        )


ARCHITECTURE = OptFamily()
