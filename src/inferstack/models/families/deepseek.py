"""DeepSeek-V2 and V3 (and R1): latent attention, shared and routed experts.

Source: DeepSeek-AI 2024, arXiv:2405.04434 and arXiv:2412.19437; where they leave room,
transformers, models/deepseek_v2 and deepseek_v3.
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
    Latent,
    Layer,
    Norm,
)
from inferstack.models.families.llama import NAMES
from inferstack.models.family import Family
from inferstack.models.names import Names, Part
from inferstack.models.reading import activation, mscale, read_rotary, rope_of

LATENT_EPSILON = 1e-6
"""Of the norms of narrow vectors, whatever config.json says of the others."""


EXPERTS = {
    "router": "mlp.gate",
    "experts.gate": "mlp.experts.{e}.gate_proj",
    "experts.intermediate": "mlp.experts.{e}.up_proj",
    "experts.ffn_output": "mlp.experts.{e}.down_proj",
    "shared.gate": "mlp.shared_experts.gate_proj",
    "shared.intermediate": "mlp.shared_experts.up_proj",
    "shared.ffn_output": "mlp.shared_experts.down_proj",
}
CORRECTION = {"router.correction": "mlp.gate.e_score_correction_bias"}


class DeepSeekFamily(Family):
    """See the module."""

    model_types = frozenset({"deepseek_v2", "deepseek_v3"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        third = file.text("model_type") == "deepseek_v3"
        hidden, heads = file.whole("hidden_size", 2**17), file.whole("num_attention_heads", 2**12)
        norm = Norm(kind="rmsnorm", epsilon=file.number("rms_norm_eps", 1e-20, 1.0))
        depth = file.whole("num_hidden_layers", 2**10)
        dense = FeedForward(
            inner=file.whole("intermediate_size", 2**20),
            activation=activation(file, "hidden_act"),
            gated=True,
            bias=file.flag("mlp_bias", False),
        )
        layer = Layer(attention=_attention(file, heads, third=third), feed_forward=dense, norm=norm)
        mixed = replace(layer, feed_forward=routed(file, dense, third=third))
        first = file.whole_or("first_k_dense_replace", 3 if third else 0, 2**10, least=0)
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=tuple(layer if number < first else mixed for number in range(depth)),
            longest=file.whole("max_position_embeddings", 2**24),
            causal=True,
            final_norm=norm,
            head=Head(tied=file.flag("tie_word_embeddings", False)),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        of = description.layers[0].attention
        latent = of.latent
        assert latent is not None, "the family has latent attention"
        narrow = (latent.width, latent.turned)
        both = (latent.plain, latent.value)
        query = "q_proj" if latent.query is None else "q_b_proj"
        modules = {
            **EXPERTS,
            "query_latent": "self_attn.q_a_proj",
            "query_norm": "self_attn.q_a_layernorm",
            "query": f"self_attn.{query}",
            "latent": "self_attn.kv_a_proj_with_mqa",
            "key_turned": "self_attn.kv_a_proj_with_mqa",
            "latent_norm": "self_attn.kv_a_layernorm",
            "key_plain": "self_attn.kv_b_proj",
            "value": "self_attn.kv_b_proj",
        }
        return replace(
            NAMES,
            modules={**NAMES.modules, **modules},
            tables={**NAMES.tables, **CORRECTION},
            parts={
                "latent": Part(groups=1, sizes=narrow, index=0),
                "key_turned": Part(groups=1, sizes=narrow, index=1),
                "key_plain": Part(groups=of.heads, sizes=both, index=0),
                "value": Part(groups=of.heads, sizes=both, index=1),
            },
        )


def _attention(file: ConfigFile, heads: int, *, third: bool) -> Attention:
    """Latent attention."""
    plain = file.whole("qk_nope_head_dim", 2**13)
    turned = file.whole("qk_rope_head_dim", 2**13)
    interleaved = file.flag("rope_interleave", True) if third else True
    rope = rope_of(file)
    scale = (plain + turned) ** -0.5
    if rope.has("mscale_all_dim"):
        scale *= mscale(rope, "mscale_all_dim") ** 2
    bias = file.flag("attention_bias", False)
    return Attention(
        heads=heads,
        kv_heads=heads,
        width=plain + turned,
        bias=bias,
        output_bias=bias,
        scale=scale,
        rotary=read_rotary(file, turned, interleaved=interleaved),
        latent=Latent(
            query=file.whole_or("q_lora_rank", 0, 2**20) or None,
            width=file.whole("kv_lora_rank", 2**20),
            plain=plain,
            turned=turned,
            value=file.whole("v_head_dim", 2**13),
            norm=Norm(kind="rmsnorm", epsilon=LATENT_EPSILON),
        ),
    )


def routed(
    file: ConfigFile, dense: FeedForward, *, third: bool, normalized: bool = True
) -> FeedForward:
    """The mixture of a layer. normalized: what V3's norm_topk_prob is where it is not there."""
    count = file.whole("n_routed_experts", 2**14)
    inner = file.whole("moe_intermediate_size", 2**20)
    grouped = third
    if not third:
        # V2 does not normalize: transformers ignores the key, DeepSeek's own code has it false.
        file.only("norm_topk_prob", False)
        methods = {"greedy": "", "group_limited_greedy": "grouped"}
        grouped = file.has("topk_method") and file.choice("topk_method", methods) == "grouped"
    groups = file.whole_or("n_group", 1, count) if grouped else 1
    return replace(
        dense,
        inner=inner,
        experts=Experts(
            count=count,
            active=file.whole("num_experts_per_tok", count),
            shared=inner * file.whole_or("n_shared_experts", 0, 2**10, least=0),
            scoring="sigmoid" if third else "softmax",
            normalized=file.flag("norm_topk_prob", normalized) if third else False,
            factor=file.number("routed_scaling_factor", 0, 1e6)
            if file.has("routed_scaling_factor")
            else 1.0,
            groups=groups,
            open=file.whole_or("topk_group", 1, groups) if grouped else 1,
            correction=third,
        ),
    )


ARCHITECTURE = DeepSeekFamily()
