"""BERT, RoBERTa and ERNIE encoders, and those that differ from them in their weights alone.

Post-norm layers behind summed embeddings of words, types and positions.
Source: Devlin et al. 2018, arXiv:1810.04805; Liu et al. 2019, arXiv:1907.11692; Conneau et al.
2019, arXiv:1911.02116 (XLM-R); Martin et al. 2019, arXiv:1911.03894 (CamemBERT); Sun et al. 2019,
arXiv:1907.12412 (ERNIE 2.0, whose first task we take); Baevski et al. 2022, arXiv:2202.03555
(data2vec); where the papers leave room, the weights' own code: transformers, models/bert, roberta,
xlm_roberta, camembert, ernie, data2vec.
"""

from __future__ import annotations

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    Embedding,
    FeedForward,
    Layer,
    Norm,
    PositionTable,
)
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names
from inferstack.models.reading import activation

MODULES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "ffn_output": "output.dense",
    "ffn_norm": "output.LayerNorm",
}
TABLES = {
    f"embedding.{ours}": f"embeddings.{theirs}_embeddings.weight"
    for ours, theirs in (
        ("word", "word"),
        ("token_type", "token_type"),
        ("position", "position"),
        ("task", "task_type"),
    )
}
COUNTED_FROM_PADDING = frozenset(
    {
        "camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta",
        "xlm-roberta-xl",
    }
)  # fmt: skip


def encoder_layer(file: ConfigFile, hidden: int, norm: Norm) -> Layer:
    """The layer that BERT's relatives share."""
    heads = file.whole("num_attention_heads", 2**12)
    file.multiple("hidden_size", hidden, "num_attention_heads", heads)
    return Layer(
        attention=Attention(
            heads=heads, kv_heads=heads, width=hidden // heads, bias=True, output_bias=True
        ),
        feed_forward=FeedForward(
            inner=file.whole("intermediate_size", 2**20),
            activation=activation(file, "hidden_act"),
            bias=True,
        ),
        norm=norm,
        arrangement=Arrangement.POST,
    )


class BertFamily(Family):
    """See the module."""

    model_types = frozenset(
        {"bert", "camembert", "data2vec-text", "ernie", "roberta", "xlm-roberta"}
    )
    phases = ENCODER

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        counted = file.text("model_type") in COUNTED_FROM_PADDING
        file.only("position_embedding_type", "absolute")
        file.only("is_decoder", False)
        file.only("add_cross_attention", False)
        hidden = file.whole("hidden_size", 2**16)
        vocabulary = file.whole("vocab_size", 2**24)
        padding = file.whole("pad_token_id", vocabulary - 1, least=0) if counted else -1
        positions = file.whole("max_position_embeddings", 2**22, least=padding + 2)
        norm = Norm(kind="layernorm", epsilon=file.number("layer_norm_eps", 1e-20, 1.0))
        layer = encoder_layer(file, hidden, norm)
        types = file.whole("type_vocab_size", 2**10)
        first_rows = [("embedding.token_type", types)] if counted else []
        if file.text("model_type") == "ernie" and file.flag("use_task_id", False):
            first_rows = [("embedding.task", file.whole_or("task_type_vocab_size", 3, 2**10))]
        return Description(
            vocabulary=vocabulary,
            hidden=hidden,
            layers=(layer,) * file.whole("num_hidden_layers", 2**10),
            longest=positions - padding - 1,
            causal=False,
            embedding=Embedding(
                positions=PositionTable(rows=positions, padding_id=padding),
                token_types=0 if counted else types,
                first_rows=tuple(first_rows),
                norm=norm,
            ),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return Names(
            prefixes=("", "bert.", "roberta.", "ernie.", "data2vec_text."),
            layer="encoder.layer.{n}",
            modules=MODULES,
            tables=TABLES,
            others={"embedding.norm": "embeddings.LayerNorm"},
        )


ARCHITECTURE = BertFamily()
