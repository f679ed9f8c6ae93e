"""Granite 3: Llama with a factor for words, scores, branches and logits each; with experts too.

Source: Granite Team 2024, Granite 3.0 Language Models; transformers, models/granite, granitemoe.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Attention,
    Description,
    Embedding,
    Experts,
    FeedForward,
    Head,
    Layer,
)
from inferstack.models.families.llama import NAMES
from inferstack.models.family import Family
from inferstack.models.names import Names, Part
from inferstack.models.reading import activation, decoder, head_sizes, read_rotary, rmsnorm

EXPERTS = {
    "router": "block_sparse_moe.router.layer",
    "experts.gate": "block_sparse_moe.input_linear",
    "experts.intermediate": "block_sparse_moe.input_linear",
    "experts.ffn_output": "block_sparse_moe.output_linear",
}


class GraniteFamily(Family):
    """See the module."""

    model_types = frozenset({"granite", "granitemoe"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, kv_heads, width = head_sizes(file)
        norm = rmsnorm(file, 1e-6)
        bias = file.flag("attention_bias", False)
        words, scores, branches, logits = (
            file.number_or(key, 1.0, 1e-6, 1e6)
            for key in (
                "embedding_multiplier",
                "attention_multiplier",
                "residual_multiplier",
                "logits_scaling",
            )
        )
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=kv_heads,
                width=width,
                bias=bias,
                output_bias=bias,
                scale=scores,
                rotary=read_rotary(file, width),
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act"),
                gated=True,
                bias=file.flag("mlp_bias", False),
            ),
            norm=norm,
            residual=branches,
        )
        if file.text("model_type") == "granitemoe":
            count = file.whole("num_local_experts", 2**14)
            active = file.whole("num_experts_per_tok", count)
            # The softmax is that of the chosen alone.
            experts = Experts(count=count, active=active, scoring="chosen")
            layer = replace(layer, feed_forward=replace(layer.feed_forward, experts=experts))
        return decoder(
            file,
            hidden,
            (layer,) * file.whole("num_hidden_layers", 2**10),
            norm,
            Head(tied=file.flag("tie_word_embeddings", False), scale=1 / logits),
            embedding=Embedding(scale=words),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        halves = (description.layers[0].feed_forward.inner,) * 2
        return replace(
            NAMES,
            modules={**NAMES.modules, **EXPERTS},
            parts={
                f"experts.{slot}": Part(groups=1, sizes=halves, index=index)
                for index, slot in enumerate(("gate", "intermediate"))
            },
        )


ARCHITECTURE = GraniteFamily()
