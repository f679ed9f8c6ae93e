"""Configs of small dense decoders, for `referees.py`: model_type, what is special, and the config.

Each switch that a public model of the type has set is in one of them.
"""

from __future__ import annotations

from typing import Any

VOCABULARY = 48
HIDDEN = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3}
SIZES = {**HIDDEN, "intermediate_size": 40, "vocab_size": VOCABULARY}
GROUPED = {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 64}
GPT2 = {"n_embd": 32, "n_head": 4, "n_layer": 3, "n_positions": 64, "vocab_size": VOCABULARY}


def longrope(original: int) -> dict[str, Any]:
    """Three quarters of a head of 8 turn, by factors for sequences up to `original` and above."""
    scaling = {
        "rope_type": "longrope",
        "short_factor": [1.0, 1.5, 2.0],
        "long_factor": [2.0, 3.0, 5.0],
        "rope_theta": 100.0,
        "partial_rotary_factor": 0.75,
        "original_max_position_embeddings": original,
    }
    return {"rope_parameters": scaling, "original_max_position_embeddings": original}


OPT = {**GROUPED, "ffn_dim": 40}
GEMMA = {**GROUPED, "head_dim": 16}
BY_WINDOW = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
    "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 700.0},
}
GEMMA3 = {**GEMMA, "sliding_window": 4, "sliding_window_pattern": 2}
FALCON = {**HIDDEN, "vocab_size": VOCABULARY}
# Falcon's own attention adds the slopes twice in transformers 5.24; the default one does not.
SLOPES = {**FALCON, "alibi": True, "attn_implementation": "sdpa"}
REFINED_WEB = {**SLOPES, "multi_query": False, "parallel_attn": False, "bias": True}
BLOOM = {"hidden_size": 32, "n_head": 4, "n_layer": 3, "vocab_size": VOCABULARY}
GPT_NEO = {
    "hidden_size": 32, "num_heads": 4, "num_layers": 3, "vocab_size": VOCABULARY,
    "attention_types": [[["global", "local"], 1], [["local"], 1]], "window_size": 4,
    "max_position_embeddings": 64,
}  # fmt: skip
MPT = {"d_model": 32, "n_heads": 4, "n_layers": 3, "max_seq_len": 64, "vocab_size": VOCABULARY}
MULTIPLIED = {
    "embedding_multiplier": 3.0, "attention_multiplier": 0.25, "residual_multiplier": 0.5,
    "logits_scaling": 4.0,
}  # fmt: skip
PHI3 = {**GROUPED, "pad_token_id": 0}

DENSE_DECODERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("gpt_neox", "", GROUPED),
    (
        "gpt_neox",
        "one after the other",
        {**GROUPED, "use_parallel_residual": False, "attention_bias": False},
    ),
    ("opt", "", OPT),
    ("opt", "as the 350m", {**OPT, "word_embed_proj_dim": 16, "do_layer_norm_before": False}),
    ("opt", "plain", {**OPT, "enable_bias": False, "layer_norm_elementwise_affine": False}),
    ("gptj", "", {**GPT2, "rotary_dim": 4}),
    ("phi", "", GROUPED),
    ("phi", "norms of heads", {**GROUPED, "qk_layernorm": True}),
    ("phi3", "", PHI3),
    ("phi3", "window, tied", {**PHI3, "sliding_window": 5, "tie_word_embeddings": True}),
    ("phi3", "longrope, short", {**PHI3, **longrope(32)}),
    ("phi3", "longrope, long", {**PHI3, **longrope(4)}),
    ("gemma", "", GEMMA),
    ("gemma", "the old word", {**GEMMA, "hidden_act": "gelu"}),
    ("gemma2", "", {**GEMMA, "sliding_window": 4, "query_pre_attn_scalar": 24}),
    (
        "gemma2",
        "small caps",
        {**GEMMA, "attn_logit_softcapping": 1.0, "final_logit_softcapping": 2.0},
    ),
    (
        "gemma2",
        "no caps",
        {**GEMMA, "attn_logit_softcapping": None, "final_logit_softcapping": None},
    ),
    ("gemma3_text", "", GEMMA3),
    ("gemma3_text", "two rotary bases", {**GEMMA3, "rope_parameters": BY_WINDOW}),
    ("starcoder2", "", GROUPED),
    (
        "starcoder2",
        "window, no biases",
        {**GROUPED, "sliding_window": 4, "use_bias": False, "tie_word_embeddings": False},
    ),
    ("olmo", "", {**GROUPED, "pad_token_id": 0}),
    (
        "olmo",
        "cut, tied",
        {**GROUPED, "pad_token_id": 0, "clip_qkv": 0.5, "tie_word_embeddings": True},
    ),
    ("olmo2", "", {**GROUPED, "pad_token_id": 0}),
    ("olmo3", "", {**GROUPED, "pad_token_id": 0, "sliding_window": 4, "num_hidden_layers": 4}),
    (
        "olmo3",
        "stretched",
        {
            **GROUPED,
            "pad_token_id": 0,
            "sliding_window": 4,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            "rope_parameters": BY_WINDOW,
        },
    ),
    ("granite", "", {**GROUPED, **MULTIPLIED}),
    (
        "granite",
        "biases, tied",
        {
            **GROUPED,
            **MULTIPLIED,
            "attention_bias": True,
            "mlp_bias": True,
            "tie_word_embeddings": True,
        },
    ),
    ("falcon", "7b", FALCON),
    ("falcon", "40b", {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}),
    (
        "falcon",
        "11b",
        {
            **FALCON,
            "new_decoder_architecture": True,
            "num_kv_heads": 2,
            "num_ln_in_parallel_attn": 1,
            "tie_word_embeddings": False,
            "ffn_hidden_size": 40,
        },
    ),
    ("falcon", "rw", REFINED_WEB),
    ("falcon", "alibi, multi-query", SLOPES),
    ("bloom", "", BLOOM),
    ("gpt_neo", "", GPT_NEO),
    ("codegen", "", {**GPT2, "rotary_dim": 4}),
    ("cohere", "", GROUPED),
    ("cohere", "norms of heads", {**GROUPED, "use_qk_norm": True, "attention_bias": True}),
    ("cohere2", "", {**GROUPED, "sliding_window": 4, "sliding_window_pattern": 2}),
    ("stablelm", "", {**GROUPED, "use_qkv_bias": True}),
    ("stablelm", "as the 12b", {**GROUPED, "qk_layernorm": True, "use_parallel_residual": True}),
    ("gpt_bigcode", "", GPT2),
    ("gpt_bigcode", "as many keys", {**GPT2, "multi_query": False}),
    ("mpt", "", MPT),
    ("mpt", "cut", {**MPT, "attn_config": {"clip_qkv": 0.5, "softmax_scale": 0.25}}),
    ("glm", "", {**GROUPED, "head_dim": 16, "pad_token_id": 0}),
    ("glm4", "", {**GROUPED, "head_dim": 16, "pad_token_id": 0, "attention_bias": False}),
    ("nemotron", "", {**GROUPED, "head_dim": 8}),
    ("nemotron", "biases", {**GROUPED, "head_dim": 8, "attention_bias": True, "mlp_bias": True}),
    ("helium", "", {**GROUPED, "head_dim": 8}),
    ("exaone4", "", {**GROUPED, "sliding_window": None, "layer_types": ["full_attention"] * 3}),
    ("exaone4", "window", {**GROUPED, "sliding_window": 4, "sliding_window_pattern": 2}),
)
