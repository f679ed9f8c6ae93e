"""Small models of transformers by `model_type`: what our reading of a family is held against.

A new type needs its config here and nothing else: see `test_referees.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .dense_decoders import DENSE_DECODERS, GROUPED, SIZES, VOCABULARY


@dataclass(frozen=True, kw_only=True)
class Referee:
    """A model of transformers. auto: the class that makes it from a config. more: its config.

    unread: how names of tensors begin that the last hidden state does not depend on. folded: words
    in names of tensors that are added to others when the folder is read. differs: FLOPs of its code
    that our graph has not, in a batch of 2 with 11 tokens.
    """

    model_type: str
    more: dict[str, Any] = field(default_factory=dict)
    auto: str = "AutoModelForCausalLM"
    note: str = ""
    unread: tuple[str, ...] = ("pooler.",)
    folded: tuple[str, ...] = ()
    differs: int = 0

    @property
    def writes(self) -> bool:
        """Whether it makes logits of what comes next."""
        return self.auto in ("AutoModelForCausalLM", "AutoModelForImageTextToText")

    def leaves(self, name: str) -> bool:
        """Whether the last hidden state does not depend on a tensor of the file."""
        return name.removeprefix("model.").startswith(self.unread)

    @property
    def name(self) -> str:
        """For the test's name."""
        return f"{self.model_type} {self.note}".strip()


def _encoder(
    model_type: str,
    note: str = "",
    unread: tuple[str, ...] = ("pooler.",),
    folded: tuple[str, ...] = (),
    differs: int = 0,
    **more: Any,
) -> Referee:
    return Referee(
        model_type=model_type,
        more={**SIZES, "max_position_embeddings": 40, **more},
        auto="AutoModel",
        note=note,
        unread=unread,
        folded=folded,
        differs=differs,
    )


def _decoder(model_type: str, note: str = "", **more: Any) -> Referee:
    return Referee(model_type=model_type, more={**GROUPED, **more}, note=note)


LLAMA3 = {
    "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16, "rope_theta": 100.0,
}  # fmt: skip
YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "rope_theta": 1e4,
}
LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}

DEEPSEEK_YARN = {**YARN, "mscale": 1.0, "mscale_all_dim": 0.7}
LATENT: dict[str, Any] = {
    "q_lora_rank": 12, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4,
    "v_head_dim": 6, "moe_intermediate_size": 24,
}  # fmt: skip
ROUTED: dict[str, Any] = {
    "first_k_dense_replace": 1, "n_routed_experts": 8, "num_experts_per_tok": 2,
    "moe_intermediate_size": 24, "num_nextn_predict_layers": 0,
}  # fmt: skip
TWO_BASES = {
    "full_attention": {"rope_type": "default", "rope_theta": 1234.0},
    "sliding_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 56.0},
}
DISENTANGLED: dict[str, Any] = {
    "relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm",
    "share_att_key": True, "pos_att_type": "p2c|c2p", "position_biased_input": False,
    "max_position_embeddings": 20,
}  # fmt: skip
DISTILLED = {
    "dim": 32, "n_heads": 4, "n_layers": 3, "hidden_dim": 40, "vocab_size": VOCABULARY,
    "max_position_embeddings": 40,
}  # fmt: skip

REFEREES = (
    _encoder("bert"),
    _encoder("roberta", folded=("token_type",), pad_token_id=1),
    _encoder("data2vec-text", folded=("token_type",), pad_token_id=1, type_vocab_size=1),
    _encoder("megatron-bert"),
    _encoder("roberta-prelayernorm", folded=("token_type",), pad_token_id=1, type_vocab_size=1),
    _encoder("eurobert", num_key_value_heads=2, pad_token_id=1),
    _encoder("xlm-roberta", folded=("token_type",), pad_token_id=1),
    _encoder("camembert", folded=("token_type",), pad_token_id=1),
    _encoder("ernie", folded=("task_type",)),
    _encoder("ernie", "tasks", folded=("task_type",), use_task_id=True),
    _encoder("xlm-roberta-xl", folded=("token_type",), pad_token_id=1, type_vocab_size=1),
    Referee(model_type="distilbert", more=DISTILLED, auto="AutoModel"),
    Referee(
        model_type="distilbert",
        more={**DISTILLED, "activation": "relu", "sinusoidal_pos_embds": True},
        auto="AutoModel",
        note="sinusoids",
    ),
    _encoder("albert", embedding_size=16),
    _encoder("albert", "as wide", embedding_size=32, hidden_act="gelu"),
    _encoder("electra", embedding_size=16),
    _encoder("electra", "as wide", embedding_size=32),
    _encoder("roformer", unread=("pooler.", "encoder.embed_positions")),
    _encoder(
        "roformer", "narrow", unread=("pooler.", "encoder.embed_positions"), embedding_size=16
    ),
    _encoder("mpnet", pad_token_id=1),
    _encoder("modernbert", pad_token_id=1, local_attention=6, global_attn_every_n_layers=2),
    _encoder(
        "modernbert",
        "biases, types",
        pad_token_id=1,
        norm_bias=True,
        attention_bias=True,
        mlp_bias=True,
        local_attention=7,
        rope_parameters=TWO_BASES,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    _encoder("deberta-v2", relative_attention=False),
    _encoder("deberta-v2", "v3", **DISENTANGLED),
    _encoder("deberta-v2", "few buckets", **{**DISENTANGLED, "position_buckets": 4}),
    _encoder(
        "deberta-v2",
        "no buckets, narrow words",
        type_vocab_size=2,
        embedding_size=16,
        relative_attention=True,
        max_relative_positions=6,
        pos_att_type=["p2c", "c2p"],
    ),
    _encoder(
        "deberta-v2",
        "to positions alone",
        relative_attention=True,
        pos_att_type="c2p",
        position_buckets=6,
    ),
    Referee(
        model_type="xlnet",
        more={
            "d_model": 32,
            "n_head": 4,
            "n_layer": 3,
            "d_inner": 40,
            "vocab_size": VOCABULARY,
            "mem_len": None,
            "pad_token_id": 1,
        },
        auto="AutoModel",
        unread=("mask_emb",),
        # Its code picks the scores of segments by a product with ones and zeros.
        differs=3 * 2 * (2 * 11) * 11 * 4 * 2,
    ),
    _encoder("deberta", relative_attention=False),
    _encoder(
        "deberta",
        "far clipped",
        relative_attention=True,
        max_relative_positions=6,
        pos_att_type=["c2p", "p2c"],
        position_biased_input=False,
    ),
    _encoder(
        "deberta",
        "near alone",
        relative_attention=True,
        pos_att_type="c2p|p2c",
        type_vocab_size=2,
        # It projects 22 rows where the table has 80.
        differs=-3 * 2 * (80 - 22) * 2 * 32 * 32,
    ),
    _encoder("nomic_bert"),
    _encoder("nomic_bert", "wide heads", head_dim=12),
    Referee(
        model_type="gpt2",
        more={"n_embd": 32, "n_head": 4, "n_layer": 3, "n_positions": 64, "vocab_size": VOCABULARY},
    ),
    _decoder("llama"),
    _decoder("llama", "biases, tied", attention_bias=True, mlp_bias=True, tie_word_embeddings=True),
    _decoder("llama", "llama3", rope_parameters=LLAMA3),
    _decoder("llama", "linear", rope_parameters=LINEAR),
    _decoder("llama", "yarn", rope_parameters=YARN),
    _decoder("mistral", sliding_window=5, head_dim=16),
    _decoder("qwen2"),
    _decoder("qwen2", "window", use_sliding_window=True, sliding_window=4, max_window_layers=1),
    _decoder("qwen3", head_dim=16),
    _decoder(
        "granitemoe",
        num_local_experts=4,
        num_experts_per_tok=2,
        logits_scaling=2.0,
        embedding_multiplier=3.0,
        attention_multiplier=0.2,
        residual_multiplier=0.4,
    ),
    _decoder("persimmon"),
    _decoder("persimmon", "no norms", qk_layernorm=False),
    Referee(
        model_type="openai-gpt",
        more={"n_embd": 32, "n_head": 4, "n_layer": 3, "n_positions": 64, "vocab_size": VOCABULARY},
    ),
    Referee(model_type="biogpt", more={**SIZES, "max_position_embeddings": 40}),
    _decoder("arcee", mlp_bias=True),
    _decoder("ernie4_5", use_bias=True),
    _decoder("ministral", sliding_window=5, head_dim=16),
    _decoder("seed_oss", attention_bias=True, attention_out_bias=False, head_dim=16),
    _decoder("seed_oss", "output bias", attention_out_bias=True, mlp_bias=True, head_dim=8),
    _decoder("glm4_moe", **ROUTED, n_shared_experts=1, use_qk_norm=True, head_dim=8),
    _decoder(
        "glm4_moe", "biases", **ROUTED, n_group=2, topk_group=1, attention_bias=True, head_dim=8
    ),
    _decoder("dots1", **ROUTED, n_shared_experts=2, sliding_window=None),
    *(Referee(model_type=kind, note=note, more=more) for kind, note, more in DENSE_DECODERS),
    _decoder("smollm3", pad_token_id=0, no_rope_layer_interval=2),
    _decoder("mixtral", num_local_experts=4, num_experts_per_tok=2),
    _decoder(
        "qwen2_moe",
        num_experts=4,
        moe_intermediate_size=24,
        num_experts_per_tok=2,
        shared_expert_intermediate_size=20,
    ),
    _decoder(
        "qwen3_moe",
        "normalized, one dense",
        head_dim=16,
        num_experts=4,
        moe_intermediate_size=24,
        num_experts_per_tok=2,
        norm_topk_prob=True,
        mlp_only_layers=[0],
    ),
    _decoder("olmoe", num_experts=4, num_experts_per_tok=2, clip_qkv=0.5),
    _decoder("gpt_oss", num_local_experts=4, num_experts_per_tok=2, head_dim=16, sliding_window=4),
    _decoder(
        "deepseek_v2",
        **LATENT,
        first_k_dense_replace=1,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_shared_experts=1,
        num_key_value_heads=4,
    ),
    _decoder(
        "deepseek_v2",
        "groups, no latent query",
        **{**LATENT, "q_lora_rank": None},
        n_routed_experts=8,
        num_experts_per_tok=2,
        num_key_value_heads=4,
        n_group=4,
        topk_group=2,
        topk_method="group_limited_greedy",
        routed_scaling_factor=2.0,
    ),
    _decoder(
        "deepseek_v3",
        **LATENT,
        first_k_dense_replace=1,
        n_routed_experts=8,
        num_experts_per_tok=2,
        num_key_value_heads=4,
        n_group=2,
        topk_group=1,
        rope_parameters=DEEPSEEK_YARN,
        num_nextn_predict_layers=0,
    ),
)


def _inside(model_type: str, text: str, *unread: str, **more: Any) -> Referee:
    """A decoder of text beside a tower that sees."""
    tower = {
        **SIZES, "depth": 2, "out_hidden_size": 32, "image_size": 28, "patch_size": 14,
        "embed_dim": 32, "num_heads": 4,
    }  # fmt: skip
    return Referee(
        model_type=model_type,
        more={"text_config": {"model_type": text, **GROUPED, **more}, "vision_config": tower},
        auto="AutoModelForImageTextToText",
        unread=("vision_tower.", "multi_modal_projector.", "visual.", *unread),
    )


THREE_POSITIONS = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
INSIDE = (
    _inside("gemma3", "gemma3_text", head_dim=12, sliding_window=4),
    _inside("llava", "llama"),
    _inside("llava_next", "mistral", "image_newline"),
    _inside("llava_onevision", "qwen2", "image_newline"),
    _inside("mistral3", "mistral", head_dim=12),
    _inside("internvl", "qwen2"),
    _inside("idefics3", "llama", "vision_model.", "connector.", pad_token_id=0),
    _inside("smolvlm", "llama", "vision_model.", "connector.", pad_token_id=0),
    _inside("qwen2_vl", "qwen2_vl_text", rope_parameters=THREE_POSITIONS),
    _inside("qwen2_5_vl", "qwen2_5_vl_text", rope_parameters=THREE_POSITIONS),
    _inside("qwen3_vl", "qwen3_vl_text", rope_parameters=THREE_POSITIONS),
)


def _both(model_type: str, note: str = "", **more: Any) -> Referee:
    bart = {
        "d_model": 32, "vocab_size": VOCABULARY, "max_position_embeddings": 40, "pad_token_id": 1,
        "decoder_start_token_id": 2, "encoder_layers": 2, "decoder_layers": 3,
        "encoder_attention_heads": 4, "decoder_attention_heads": 2, "encoder_ffn_dim": 40,
        "decoder_ffn_dim": 48,
    }  # fmt: skip
    auto = "AutoModelForSeq2SeqLM"
    return Referee(model_type=model_type, more={**bart, **more}, auto=auto, note=note)


def _t5(model_type: str, note: str = "", **more: Any) -> Referee:
    sizes = {
        "d_model": 32, "d_kv": 6, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 3,
        "num_heads": 4, "vocab_size": VOCABULARY, "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 9, "decoder_start_token_id": 0,
    }  # fmt: skip
    auto = "AutoModelForSeq2SeqLM"
    return Referee(model_type=model_type, more={**sizes, **more}, auto=auto, note=note)


TWO_STACKS = (
    _t5("t5"),
    _t5("t5", "gated", feed_forward_proj="gated-gelu"),
    _t5("t5", "not scaled", tie_word_embeddings=False),
    _t5("mt5"),
    _t5("umt5"),
    _both("bart"),
    _both("bart", "scaled words", scale_embedding=True),
    _both("mbart"),
    _both("pegasus", activation_function="relu"),
    _both("marian", activation_function="swish", scale_embedding=True),
    _both("m2m_100"),
    _both("blenderbot"),
    _both("plbart"),
    _both("mvp"),
)


IMAGES: dict[str, Any] = {**SIZES, "image_size": 24, "patch_size": 8}
WIDER: dict[str, Any] = {**IMAGES, "hidden_size": 40, "num_attention_heads": 5}
TEXTS: dict[str, Any] = {
    **SIZES, "max_position_embeddings": 9, "bos_token_id": 1, "pad_token_id": 1,
    "eos_token_id": VOCABULARY - 1,
}  # fmt: skip


def _seen(model_type: str, auto: str, note: str = "", **more: Any) -> Referee:
    unread = ("pooler.", "embeddings.mask_token")
    return Referee(model_type=model_type, more=more, auto=auto, note=note, unread=unread)


SPEECH = Referee(
    model_type="whisper",
    more={
        "d_model": 32, "vocab_size": VOCABULARY, "max_source_positions": 9,
        "max_target_positions": 20, "num_mel_bins": 6, "encoder_layers": 2, "decoder_layers": 3,
        "encoder_attention_heads": 4, "decoder_attention_heads": 2, "encoder_ffn_dim": 40,
        "decoder_ffn_dim": 48, "pad_token_id": 1, "bos_token_id": 1, "eos_token_id": 1,
        "decoder_start_token_id": 2,
    },
    auto="AutoModelForSpeechSeq2Seq",
)  # fmt: skip

WAVES: dict[str, Any] = {
    **SIZES, "conv_dim": [12, 8, 8], "conv_kernel": [6, 3, 2], "conv_stride": [4, 2, 2],
    "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 6, "num_conv_pos_embedding_groups": 4,
    "conv_depthwise_kernel_size": 5, "pad_token_id": 1,
}  # fmt: skip
STABLE: dict[str, Any] = {
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
}


def _heard(model_type: str, note: str = "", auto: str = "AutoModel", **more: Any) -> Referee:
    sizes, differs = {**WAVES, **more}, 0
    unread: tuple[str, ...] = ("masked_spec_embed",)
    if model_type == "wav2vec2-conformer":
        unread = (*unread, "encoder.pos_conv_embed")  # which its code does not run
    elif (kernel := sizes["num_conv_pos_embeddings"]) % 2 == 0:
        # Of an even kernel, it computes a place more and drops it.
        differs = (
            2 * 2 * sizes["hidden_size"] ** 2 // sizes["num_conv_pos_embedding_groups"] * kernel
        )
    return Referee(
        model_type=model_type,
        more=sizes,
        auto=auto,
        note=note,
        unread=unread,
        folded=("original0",),
        differs=differs,
    )


SOUNDS = (
    _heard("wav2vec2"),
    _heard("wav2vec2", "letters", "AutoModelForCTC"),
    _heard("wav2vec2", "stable", **STABLE, num_conv_pos_embeddings=5),
    _heard("hubert"),
    _heard("hubert", "stable, letters", "AutoModelForCTC", **STABLE, feat_proj_layer_norm=False),
    _heard("unispeech"),
    _heard("unispeech-sat", **STABLE),
    _heard("wav2vec2-conformer", position_embeddings_type="relative"),
    _heard("wav2vec2-conformer", "rotary", position_embeddings_type="rotary", hidden_act="swish"),
    _heard(
        "wav2vec2-conformer",
        "no positions, letters",
        "AutoModelForCTC",
        **STABLE,
        position_embeddings_type=None,
    ),
)
VISION = (
    _seen("vit", "AutoModel", **IMAGES),
    _seen("deit", "AutoModel", **IMAGES),
    _seen("dinov2", "AutoModel", **IMAGES, mlp_ratio=2),
    _seen("clip_vision_model", "CLIPVisionModel", **IMAGES),
    _seen(
        "clip_vision_model",
        "CLIPVisionModelWithProjection",
        "projected",
        **IMAGES,
        projection_dim=12,
    ),
    # 24 pixels are no whole number of 7.
    _seen("siglip_vision_model", "SiglipVisionModel", **{**IMAGES, "patch_size": 7}),
    _seen("siglip_vision_model", "SiglipVisionModel", "no head", **IMAGES, vision_use_head=False),
)
TOWERS = (
    _seen("clip_text_model", "CLIPTextModel", **TEXTS),
    _seen("clip_text_model", "CLIPTextModel", "old end", **{**TEXTS, "eos_token_id": 2}),
    _seen(
        "clip_text_model", "CLIPTextModelWithProjection", "projected", **TEXTS, projection_dim=12
    ),
    _seen("siglip_text_model", "SiglipTextModel", **TEXTS, projection_size=12),
    _seen("clip", "CLIPModel", text_config=TEXTS, vision_config=WIDER, projection_dim=12),
    _seen(
        "siglip", "SiglipModel", text_config={**TEXTS, "projection_size": 40}, vision_config=WIDER
    ),
)


def saved(referee: Referee, folder: Path) -> Any:
    """The model with random weights, large enough that a wrong one shows; also in the folder."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(referee.model_type, **referee.more)
    config._attn_implementation = referee.more.get("attn_implementation", "eager")
    made = getattr(transformers, referee.auto)
    model = made.from_config(config) if referee.auto.startswith("Auto") else made(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        learned = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        for name, parameter in [*learned, *learned_buffers(model)]:
            noise = torch.randn(parameter.shape, generator=generator)
            noise = noise.abs() if name.endswith("running_var") else noise
            plain = parameter.dim() == 1 and not name.endswith("bias")
            parameter.copy_(noise * 0.2 + (1.0 if plain else 0.0))
    model.eval().requires_grad_(False)
    model.save_pretrained(folder)
    return model


def learned_buffers(model: Any) -> list[tuple[str, Any]]:
    """Values that training finds and that are no parameters."""
    ends = ("e_score_correction_bias", "final_logits_bias", "running_mean", "running_var")
    return [(n, b) for n, b in model.named_buffers() if n.endswith(ends)]


def read_parameters(referee: Referee, model: Any) -> int:
    """Those that the hidden states depend on, and that are not folded into others."""
    values = [*model.named_parameters(), *learned_buffers(model)]
    body = f"{model.base_model_prefix}."
    return sum(
        value.numel()
        for name, value in values
        if not name.removeprefix(body).startswith(referee.unread)
        and not any(word in name for word in referee.folded)
    )
