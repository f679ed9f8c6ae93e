"""gpt-oss: alternating windows, sinks in the softmax, experts with clamped gates.

Source: OpenAI 2025, arXiv:2508.10925; where it leaves room, transformers, models/gpt_oss.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Attention,
    Description,
    Experts,
    FeedForward,
    Head,
    Layer,
    Norm,
)
from inferstack.models.families.llama import NAMES
from inferstack.models.family import Family
from inferstack.models.names import Names, Part
from inferstack.models.reading import head_sizes, read_rotary, windows


class GptOssFamily(Family):
    """See the module."""

    model_types = frozenset({"gpt_oss"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        file.only("hidden_act", "silu")
        for key, known in (("swiglu_alpha", 1.702), ("swiglu_limit", 7.0)):
            if file.has(key):
                file.number(key, known, known)
        hidden, heads, kv_heads, width = head_sizes(file)
        norm = Norm(kind="rmsnorm", epsilon=file.number("rms_norm_eps", 1e-20, 1.0))
        depth = file.whole("num_hidden_layers", 2**10)
        count = file.whole("num_local_experts", 2**14)
        bias = file.flag("attention_bias", True)
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=kv_heads,
                width=width,
                bias=bias,
                output_bias=bias,
                rotary=read_rotary(file, width, theta=150000.0),
                sinks=True,
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation="swiglu_clamped",
                gated=True,
                bias=True,
                experts=Experts(
                    count=count,
                    active=file.whole("num_experts_per_tok", count),
                    router_bias=True,
                    scoring="chosen",
                ),
            ),
            norm=norm,
        )
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=tuple(
                replace(layer, attention=replace(layer.attention, window=window))
                for window in windows(file, depth)
            ),
            longest=file.whole("max_position_embeddings", 2**24),
            causal=True,
            final_norm=norm,
            head=Head(tied=file.flag("tie_word_embeddings", False)),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        # Gate and the other projection alternate, output by output.
        inner = description.layers[0].feed_forward.inner
        gates = {
            "experts.gate": Part(groups=inner, sizes=(1, 1), index=0),
            "experts.intermediate": Part(groups=inner, sizes=(1, 1), index=1),
        }
        experts = {
            "router": "mlp.router",
            "experts.gate": "mlp.experts.gate_up_proj",
            "experts.intermediate": "mlp.experts.gate_up_proj",
            "experts.ffn_output": "mlp.experts.down_proj",
        }
        return replace(
            NAMES,
            modules={**NAMES.modules, **experts},
            tables={**NAMES.tables, "sinks": "self_attn.sinks"},
            parts=gates,
            wordless=frozenset(experts) - {"router"},
        )


ARCHITECTURE = GptOssFamily()
