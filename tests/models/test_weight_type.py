"""The type of a checkpoint's weights: as config.json says, quantized ones in closed form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import inferstack as ist
from inferstack.core.dtypes import DType
from inferstack.core.errors import CheckpointError
from inferstack.models.weight_type import read_weight_type

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "vocab_size": 64,
}
MATRICES = [(64, 64), (64, 32), (64, 32), (64, 64), (64, 128), (64, 128), (128, 64)]
REST = 64 * 64 * 2 + 64 * 5
"""The table of words, the head and the norms."""


def weight_bytes(tmp_path: Path, over: dict[str, Any], asked: str | None = None) -> int:
    """What `analyze` counts for the tiny Llama."""
    tmp_path.joinpath("config.json").write_text(json.dumps(LLAMA | over))
    return ist.load(tmp_path).count(8, phase="decode", dtype=asked).weight_bytes


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({}, 328_960),
        ({"dtype": "bfloat16"}, 164_480),
        ({"torch_dtype": "float16"}, 164_480),
        ({"torch_dtype": "float32", "dtype": None}, 328_960),
        ({"dtype": "auto"}, 328_960),
    ],
)
def test_weights_have_the_type_that_the_checkpoint_says(
    over: dict[str, Any], expected: int, tmp_path: Path
) -> None:
    assert weight_bytes(tmp_path, over) == expected
    assert weight_bytes(tmp_path, over, "int8") == 82_240


@pytest.mark.parametrize(
    ("quantization", "bits", "block", "scale_bits"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, 4, (32, 1), 20),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 8, (10**9, 1), 24),
        ({"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": False}, 4, (64, 1), 16),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4, (64, 1), 32),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 8, (10**9, 1), 32),
        ({"quant_method": "fp8", "weight_block_size": [32, 64]}, 8, (64, 32), 32),
        ({"quant_method": "fp8"}, 8, (10**9, 10**9), 32),
    ],
)
def test_quantized_weights_are_counted_with_their_scales(
    quantization: dict[str, Any],
    bits: int,
    block: tuple[int, int],
    scale_bits: int,
    tmp_path: Path,
) -> None:
    layer = sum(
        k * n * bits // 8 + -(-k // block[0]) * -(-n // block[1]) * scale_bits // 8
        for k, n in MATRICES
    )
    over = {"dtype": "float16", "quantization_config": quantization}
    assert weight_bytes(tmp_path, over) == 2 * layer + 2 * REST


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"dtype": "float8"}, "f: dtype is not known; got float8, need one of float64, float32,"),
        (
            {"dtype": "float16", "torch_dtype": "float32"},
            "f: names two types for its weights; got dtype float16, torch_dtype float32",
        ),
        ({"quantization_config": [4]}, "f: quantization_config is not a JSON object"),
        (
            {"quantization_config": {"quant_method": "hqq"}},
            "f, quantization_config: this quant_method is not read; got hqq, need one of awq",
        ),
        (
            {"quantization_config": {"quant_method": "bitsandbytes"}},
            "f, quantization_config: does not say its bits; need load_in_4bit or load_in_8bit",
        ),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 1}},
            "f, quantization_config: bits makes no sense; got 1, need a whole number from 2 to 8",
        ),
    ],
)
def test_what_cannot_be_counted_is_refused_by_name(content: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_weight_type("f", content)
    assert str(caught.value).startswith(message)


def test_the_source_of_the_type_is_said() -> None:
    found = read_weight_type("f", {"torch_dtype": "torch.bfloat16"})
    assert (found.element, found.source) == (DType.BFLOAT16, "torch_dtype of config.json")
