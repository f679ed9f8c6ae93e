"""What encoders' config.json may say that no referee of transformers writes."""

from __future__ import annotations

from typing import Any

import pytest

from inferstack.core.errors import CheckpointError
from inferstack.models.architecture import architecture_of, architectures
from inferstack.models.named import named_models

NOMIC = {
    "model_type": "nomic_bert", "activation_function": "swiglu", "causal": False,
    "layer_norm_epsilon": 1e-12, "max_trained_positions": 2048, "mlp_fc1_bias": False,
    "mlp_fc2_bias": False, "n_embd": 768, "n_head": 12, "n_inner": 3072, "n_layer": 12,
    "n_positions": 8192, "pad_vocab_size_multiple": 64, "parallel_block": False, "prenorm": False,
    "qkv_proj_bias": False, "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False, "rotary_emb_scale_base": None, "rotary_scaling_factor": None,
    "scale_attn_weights": True, "type_vocab_size": 2, "use_rms_norm": False, "vocab_size": 30528,
}  # fmt: skip
"""config.json of nomic-embed-text-v1.5, without what says nothing of the result."""


def described(family: str, content: dict[str, Any]) -> Any:
    form = architectures()[family].hugging_face
    assert form is not None
    return form.read_config("config.json", content)


def test_nomics_own_keys_mean_what_those_of_transformers_mean() -> None:
    _, config = architecture_of("nomic-embed-text-v1.5")
    assert described("nomic_bert", NOMIC) == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("prenorm", True), ("qkv_proj_bias", True), ("moe_every_n_layers", 2),
        ("rotary_scaling_factor", 2), ("activation_function", "gelu"), ("causal", True),
    ],
)  # fmt: skip
def test_other_values_of_nomics_keys_are_refused(key: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=f"{key} is not supported"):
        described("nomic_bert", {**NOMIC, key: value})


@pytest.mark.parametrize(
    ("model", "key", "value"),
    [
        ("albert-base-v2", "num_hidden_groups", 2),
        ("albert-base-v2", "inner_group_num", 2),
        ("mpnet-base", "relative_attention_num_buckets", 64),
        ("mpnet-base", "pad_token_id", 0),
        ("roformer-chinese-base", "rotary_value", True),
        ("deberta-v3-base", "attention_head_size", 32),
        ("xlnet-base", "attn_type", "uni"),
        ("xlnet-base", "bi_data", True),
        ("xlnet-base", "clamp_len", 400),
        ("electra-base", "position_embedding_type", "relative_key"),
    ],
)
def test_what_would_change_the_result_is_refused(model: str, key: str, value: object) -> None:
    content = next(dict(one.config) for one in named_models() if one.name == model)
    architecture, _ = architecture_of(model)
    assert architecture.hugging_face is not None
    architecture.hugging_face.read_config("config.json", content)
    with pytest.raises(CheckpointError, match=f"{key} is not supported"):
        architecture.hugging_face.read_config("config.json", {**content, key: value})


@pytest.mark.parametrize("said", ["full_attention", ["full_attention"], [3, 4]])
def test_layer_types_of_modernbert_that_make_no_sense_are_refused(said: object) -> None:
    content = {
        "model_type": "modernbert", "num_hidden_layers": 2, "hidden_size": 32,
        "num_attention_heads": 4, "intermediate_size": 40, "vocab_size": 48, "layer_types": said,
    }  # fmt: skip
    with pytest.raises(CheckpointError, match="layer_types makes no sense"):
        described("modernbert", content)


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("conv_kernel_size", 3, "a convolution behind the first layer is not supported"),
        ("pos_att_type", "p2c|p2p", "pos_att_type is not supported"),
    ],
)
def test_what_deberta_has_and_we_lack_is_refused(key: str, value: object, what: str) -> None:
    content = next(dict(one.config) for one in named_models() if one.name == "deberta-v3-base")
    with pytest.raises(CheckpointError, match=what):
        described("deberta_v2", {**content, key: value})
