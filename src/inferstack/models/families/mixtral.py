"""Llama's layers with a mixture of experts: Mixtral, Qwen2-MoE, Qwen3-MoE, OLMoE.

Source: Jiang et al. 2024, arXiv:2401.04088; Yang et al. 2024, arXiv:2407.10671; Yang et al. 2025,
arXiv:2505.09388; Muennighoff et al. 2024, arXiv:2409.02060; where they leave room, transformers,
models/mixtral, qwen2_moe, qwen3_moe, olmoe.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
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
from inferstack.models.names import Names
from inferstack.models.reading import activation, head_sizes, read_rotary, windows


class MixtralFamily(Family):
    """See the module."""

    model_types = frozenset({"mixtral", "qwen2_moe", "qwen3_moe", "olmoe"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        kind = file.text("model_type")
        hidden, heads, kv_heads, width = head_sizes(file)
        norm = Norm(kind="rmsnorm", epsilon=file.number("rms_norm_eps", 1e-20, 1.0))
        depth = file.whole("num_hidden_layers", 2**10)
        bias = file.flag("qkv_bias", True) if kind == "qwen2_moe" else False
        bias = file.flag("attention_bias", bias)
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=kv_heads,
                width=width,
                bias=bias,
                output_bias=bias and kind != "qwen2_moe",
                rotary=read_rotary(file, width),
                head_norm=norm if kind in ("qwen3_moe", "olmoe") else None,
                norm_whole=kind == "olmoe",
                clip=file.number("clip_qkv", 0, 1e6) if file.has("clip_qkv") else None,
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act"),
                gated=True,
            ),
            norm=norm,
        )
        mixed = replace(layer, feed_forward=_experts(file, kind, layer.feed_forward))
        dense = _dense_layers(file, depth)
        seen = windows(file, depth)
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=tuple(
                replace(one, attention=replace(one.attention, window=seen[number]))
                for number in range(depth)
                for one in [layer if number in dense else mixed]
            ),
            longest=file.whole("max_position_embeddings", 2**24),
            causal=True,
            final_norm=norm,
            head=Head(tied=file.flag("tie_word_embeddings", False)),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        mixtral = any(
            layer.feed_forward.experts is not None
            and layer.feed_forward.experts.scoring == "chosen"
            for layer in description.layers
        )
        experts = {
            "router": "mlp.gate",
            "experts.gate": "mlp.experts.{e}.gate_proj",
            "experts.intermediate": "mlp.experts.{e}.up_proj",
            "experts.ffn_output": "mlp.experts.{e}.down_proj",
            "shared_gate": "mlp.shared_expert_gate",
            "shared.gate": "mlp.shared_expert.gate_proj",
            "shared.intermediate": "mlp.shared_expert.up_proj",
            "shared.ffn_output": "mlp.shared_expert.down_proj",
        }
        if mixtral:
            experts = {
                "router": "block_sparse_moe.gate",
                "experts.gate": "block_sparse_moe.experts.{e}.w1",
                "experts.intermediate": "block_sparse_moe.experts.{e}.w3",
                "experts.ffn_output": "block_sparse_moe.experts.{e}.w2",
            }
        return replace(NAMES, modules={**NAMES.modules, **experts})


def _experts(file: ConfigFile, kind: str, dense: FeedForward) -> FeedForward:
    """The mixture of a layer."""
    key = "num_local_experts" if file.has("num_local_experts") else "num_experts"
    count = file.whole(key, 2**14)
    if kind == "mixtral":
        active = file.whole("num_experts_per_tok", count)
        # The softmax of all, normalized over the chosen, is that of the chosen alone.
        return replace(dense, experts=Experts(count=count, active=active, scoring="chosen"))
    key = "intermediate_size" if kind == "olmoe" else "moe_intermediate_size"
    shared = 0
    if kind == "qwen2_moe":
        shared = file.whole("shared_expert_intermediate_size", 2**20)
    return replace(
        dense,
        inner=file.whole(key, 2**20),
        experts=Experts(
            count=count,
            active=file.whole("num_experts_per_tok", count),
            shared=shared,
            shared_gate=shared > 0,
            normalized=file.flag("norm_topk_prob", False),
        ),
    )


def _dense_layers(file: ConfigFile, depth: int) -> set[int]:
    """Qwen: layers without a mixture."""
    named = file.optional("mlp_only_layers", None) or []
    if not isinstance(named, list) or not all(type(one) is int for one in named):
        raise CheckpointError(
            file.where, "mlp_only_layers makes no sense", got=printable(str(named)),
            need="a list of layers",
        )  # fmt: skip
    every = file.whole_or("decoder_sparse_step", 1, 2**10)
    return {number for number in range(depth) if number in named or (number + 1) % every}


ARCHITECTURE = MixtralFamily()
