"""GPT-NeoX and Pythia: attention and feed-forward side by side, a quarter of each head turns.

Source: Black et al. 2022, arXiv:2204.06745; Biderman et al. 2023, arXiv:2304.01373 (Pythia); where
they leave room, transformers, models/gpt_neox.
"""

from __future__ import annotations

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


class GptNeoXFamily(Family):
    """See the module."""

    model_types = frozenset({"gpt_neox"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, _, width = head_sizes(file)
        bias = file.flag("attention_bias", True)
        norm = layernorm(file)
        rotary = read_rotary(
            file,
            width,
            theta=file.number_or("rotary_emb_base", 10000.0, 1.0, 1e15),
            part=file.number_or("rotary_pct", 0.25, 0.0, 1.0),
        )
        parallel = file.flag("use_parallel_residual", True)
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=heads,
                width=width,
                bias=bias,
                output_bias=bias,
                rotary=rotary,
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act"),
                bias=True,
            ),
            norm=norm,
            arrangement=Arrangement.PARALLEL_TWO if parallel else Arrangement.PRE,
        )
        layers = (layer,) * file.whole("num_hidden_layers", 2**10)
        head = Head(tied=file.flag("tie_word_embeddings", False))
        return decoder(file, hidden, layers, norm, head)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        of = description.layers[0].attention
        return Names(
            prefixes=("", "gpt_neox."),
            layer="layers.{n}",
            modules={
                "query": "attention.query_key_value",
                "key": "attention.query_key_value",
                "value": "attention.query_key_value",
                "output": "attention.dense",
                "intermediate": "mlp.dense_h_to_4h",
                "ffn_output": "mlp.dense_4h_to_h",
                "attention_norm": "input_layernorm",
                "ffn_norm": "post_attention_layernorm",
            },
            tables={"embedding.word": "embed_in.weight"},
            others={"final_norm": "final_layer_norm", "head": "embed_out"},
            parts=qkv(of.heads, of.heads, of.width, groups=of.heads),
        )


ARCHITECTURE = GptNeoXFamily()
