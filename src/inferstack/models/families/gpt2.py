"""GPT-2: pre-norm layers with learned positions and tied embeddings.

Query, key and value stand side by side in one tensor, as (inputs, outputs).
Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; where the paper
leaves room, the weights' own code: transformers, models/gpt2.
"""

from __future__ import annotations

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
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
from inferstack.models.names import Names, qkv
from inferstack.models.reading import activation


class Gpt2Family(Family):
    """See the module."""

    model_types = frozenset({"gpt2"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        file.only("add_cross_attention", False)
        file.only("scale_attn_by_inverse_layer_idx", False)
        file.only("scale_attn_weights", True)
        hidden, heads = file.whole("n_embd", 2**16), file.whole("n_head", 2**12)
        file.multiple("n_embd", hidden, "n_head", heads)
        norm = Norm(kind="layernorm", epsilon=file.number("layer_norm_epsilon", 1e-20, 1.0))
        positions = file.whole("n_positions", 2**22)
        layer = Layer(
            attention=Attention(
                heads=heads, kv_heads=heads, width=hidden // heads, bias=True, output_bias=True
            ),
            feed_forward=FeedForward(
                inner=file.whole_or("n_inner", 4 * hidden, 2**20),
                activation=activation(file, "activation_function"),
                bias=True,
            ),
            norm=norm,
        )
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=(layer,) * file.whole("n_layer", 2**10),
            longest=positions,
            causal=True,
            embedding=Embedding(positions=PositionTable(rows=positions)),
            final_norm=norm,
            head=Head(tied=file.flag("tie_word_embeddings", True)),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        of = description.layers[0].attention
        return Names(
            prefixes=("", "transformer."),
            layer="h.{n}",
            modules={
                "query": "attn.c_attn",
                "key": "attn.c_attn",
                "value": "attn.c_attn",
                "output": "attn.c_proj",
                "intermediate": "mlp.c_fc",
                "ffn_output": "mlp.c_proj",
                "attention_norm": "ln_1",
                "ffn_norm": "ln_2",
            },
            tables={"embedding.word": "wte.weight", "embedding.position": "wpe.weight"},
            others={"final_norm": "ln_f", "head": "lm_head"},
            transposed=False,
            parts=qkv(of.heads, of.kv_heads, of.width),
        )


ARCHITECTURE = Gpt2Family()
