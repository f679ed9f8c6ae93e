"""XLNet as an encoder: content, distance and segment are scored, each with a bias of its own.

No memory of earlier texts and no second stream, which training and generation have.
Source: Yang et al. 2019, arXiv:1906.08237; Dai et al. 2019, arXiv:1901.02860; transformers,
models/xlnet.
"""

from __future__ import annotations

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    FeedForward,
    Layer,
    Norm,
)
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names
from inferstack.models.reading import activation

UNLIMITED = 2**24
"""It has no table of positions, and so no longest sequence."""


class XlnetFamily(Family):
    """See the module."""

    model_types = frozenset({"xlnet"})
    phases = ENCODER

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        file.only("attn_type", "bi")
        file.only("bi_data", False)
        file.only("clamp_len", -1)
        file.only("untie_r", True)
        hidden, heads = file.whole("d_model", 2**16), file.whole("n_head", 2**12)
        file.multiple("d_model", hidden, "n_head", heads)
        width = hidden // heads
        file.only("d_head", width)
        norm = Norm(kind="layernorm", epsilon=file.number_or("layer_norm_eps", 1e-12, 1e-20, 1.0))
        layer = Layer(
            attention=Attention(
                heads=heads, kv_heads=heads, width=width, sinusoids=True, segments=True
            ),
            feed_forward=FeedForward(
                inner=file.whole("d_inner", 2**20),
                activation=activation(file, "ff_activation", absent="gelu"),
                bias=True,
            ),
            norm=norm,
            arrangement=Arrangement.POST,
        )
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=(layer,) * file.whole("n_layer", 2**10),
            longest=UNLIMITED,
            causal=False,
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        of = description.layers[0].attention
        return Names(
            prefixes=("", "transformer."),
            layer="layer.{n}",
            modules={
                "query": "rel_attn.q",
                "key": "rel_attn.k",
                "value": "rel_attn.v",
                "output": "rel_attn.o",
                "position_key": "rel_attn.r",
                "content": "rel_attn.r_w",
                "distance": "rel_attn.r_r",
                "segment": "rel_attn.r_s",
                "segments": "rel_attn.seg_embed",
                "attention_norm": "rel_attn.layer_norm",
                "intermediate": "ff.layer_1",
                "ffn_output": "ff.layer_2",
                "ffn_norm": "ff.layer_norm",
            },
            tables={"embedding.word": "word_embedding.weight"},
            wordless=frozenset(
                {
                    "query",
                    "key",
                    "value",
                    "output",
                    "position_key",
                    "content",
                    "distance",
                    "segment",
                    "segments",
                }
            ),
            turned=frozenset({"output"}),
            heads=(of.heads, of.width),
        )


ARCHITECTURE = XlnetFamily()
