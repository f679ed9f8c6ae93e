"""Decoders: one prefill equals decoding with the cache; configs and named models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.core.errors import CheckpointError, InputError
from inferstack.ir.graph import TensorRole
from inferstack.models.architecture import architecture_of, architectures, build, random_weights
from inferstack.models.decoder import FINAL_NORM, LOGITS, caches_of
from inferstack.models.hugging_face import load_checkpoint, read_architecture
from inferstack.models.named import NamedModel, named_models
from inferstack.models.scenario import Scenario
from inferstack.ops.execute import execute

Array = npt.NDArray[Any]

TINY: dict[str, dict[str, Any]] = {
    "gpt2": {
        "model_type": "gpt2",
        "n_layer": 3,
        "n_embd": 24,
        "n_head": 4,
        "n_inner": 40,
        "vocab_size": 50,
        "n_positions": 16,
        "layer_norm_epsilon": 1e-5,
        "activation_function": "gelu_new",
    },
    "llama": {
        "model_type": "llama",
        "num_hidden_layers": 3,
        "hidden_size": 24,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "intermediate_size": 40,
        "vocab_size": 50,
        "max_position_embeddings": 16,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
    },
}
CACHE_WIDTH = {"gpt2": 24, "llama": 8}
IDS = np.random.default_rng(0).integers(0, 50, (2, 9))


def weights(name: str, shape: tuple[int, ...]) -> Array:
    """Large enough that a wrong position or head shows in every hidden state."""
    values = random_weights(7)(name, shape)
    assert values is not None
    return values if name.endswith(".gamma") else values * np.float32(10)


def graph(family: str, scenario: Scenario) -> Any:
    architecture = architectures()[family]
    assert architecture.hugging_face is not None
    config = architecture.hugging_face.read_config("tiny", TINY[family])
    return architecture.build("tiny", config, scenario, weights, unrolled=True)


def prefill(family: str, ids: Array = IDS) -> tuple[Any, dict[str, Array]]:
    whole = graph(family, Scenario.prefill(ids.shape[1], batch=ids.shape[0]))
    return whole, execute(whole, {"ids": ids}, keep=True)


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("prompt", [0, 1, 4, 8])
def test_decoding_token_by_token_equals_one_prefill(family: str, prompt: int) -> None:
    _, expected = prefill(family)
    slots = ("key_cache", "value_cache")
    empty = np.zeros((2, 0, CACHE_WIDTH[family]), dtype=np.float32)
    caches = {f"layer{layer}.{slot}": empty for layer in range(3) for slot in slots}
    if prompt:
        first, results = prefill(family, IDS[:, :prompt])
        caches = caches_of(first, results)
    for context in range(prompt, IDS.shape[1]):
        step = graph(family, Scenario.decode(context, batch=2))
        results = execute(step, {"ids": IDS[:, context : context + 1], **caches}, keep=True)
        caches = caches_of(step, results)
        for name in (FINAL_NORM, LOGITS, *(f"layer{layer}.ffn_add" for layer in range(3))):
            np.testing.assert_allclose(
                results[name], expected[name][:, context : context + 1], rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize("family", TINY)
def test_a_prompt_in_two_pieces_equals_one_prefill(family: str) -> None:
    _, expected = prefill(family)
    first, results = prefill(family, IDS[:, :5])
    rest = graph(family, Scenario.prefill(4, batch=2, context_tokens=5))
    results = execute(rest, {"ids": IDS[:, 5:], **caches_of(first, results)})
    np.testing.assert_allclose(results[LOGITS], expected[LOGITS][:, 5:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", named_models(), ids=lambda model: model.name)
def test_models_have_the_published_number_of_parameters(model: NamedModel) -> None:
    architecture, _ = architecture_of(model.name)
    sizes = {
        name: tensor.elements
        for phase in architecture.phases
        for graph in [
            build(model.name, Scenario(phase=phase, batch=1, new_tokens=1), unrolled=True)
        ]
        for name, tensor in graph.tensors.items()
        if tensor.role is TensorRole.WEIGHT
    }
    assert model.parameters in (None, sum(sizes.values()))


@pytest.mark.parametrize("family", TINY)
def test_sequences_beyond_the_positions_are_refused(family: str) -> None:
    with pytest.raises(InputError, match=r"17 tokens, cached ones included, need at most 16"):
        graph(family, Scenario.decode(16))
    with pytest.raises(InputError, match="a decoder does not encode"):
        graph(family, Scenario.encode(4))


def test_a_decoder_is_no_encoder_of_sentences(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY["gpt2"]), encoding="utf-8")
    assert read_architecture(tmp_path)[1].hidden == 24
    with pytest.raises(CheckpointError, match=r"is no encoder of sentences"):
        load_checkpoint(tmp_path, seq_len=4)


def test_configs_are_read_strictly() -> None:
    form = architectures()["llama"].hugging_face
    assert form is not None
    content = {
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 3,
        "num_hidden_layers": 2,
        "intermediate_size": 96,
        "vocab_size": 100,
        "max_position_embeddings": 32,
        "rms_norm_eps": 1e-5,
    }
    with pytest.raises(CheckpointError, match="num_attention_heads is not a multiple"):
        form.read_config("config.json", content)
    config = form.read_config("config.json", {**content, "num_key_value_heads": 2})
    attention = config.layers[0].attention
    assert (attention.kv_heads, attention.width, attention.rotary.theta) == (2, 16, 10000.0)
    assert not config.head.tied
    wide = form.read_config("config.json", {**content, "num_key_value_heads": 2, "head_dim": 32})
    assert wide.layers[0].attention.width == 32
    scaled = {"rope_type": "spiral", "factor": 2.0}
    with pytest.raises(CheckpointError, match=r"this rope_type is not known; got spiral"):
        form.read_config(
            "config.json", {**content, "num_key_value_heads": 2, "rope_scaling": scaled}
        )
    for key, value in (("num_key_value_head", 2), ("head-dim", 16), ("tie_word_embedding", True)):
        kept = {name: one for name, one in content.items() if name != "num_key_value_heads"}
        with pytest.raises(CheckpointError, match=f"unknown key '{key}'"):
            form.read_config("config.json", {**kept, key: value})
    with pytest.raises(CheckpointError, match="tie_word_embeddings makes no sense; got"):
        form.read_config(
            "config.json", {**content, "num_key_value_heads": 2, "tie_word_embeddings": "no"}
        )
    wrong: tuple[tuple[str, object, str], ...] = (
        ("hidden_act", None, "hidden_act is not text; got null"),
        ("rope-theta", 1e4, "unknown key 'rope-theta'"),
        ("layer_types", [{}, "full_attention"], "layer_types makes no sense"),
        ("rope_scaling", {"rope_typ": "yarn", "factor": 2.0}, "unknown key 'rope_typ'"),
    )
    for key, bad, message in wrong:
        with pytest.raises(CheckpointError, match=message):
            form.read_config("config.json", {**content, "num_key_value_heads": 2, key: bad})


@pytest.mark.parametrize(("size", "printed"), [("8b", 8.63), ("62b", 62.50), ("540b", 540.35)])
def test_palm_has_the_parameters_of_its_paper(size: str, printed: float) -> None:
    """Table 1, in billions; its last digit leaves out the gains of the norms (540.36 with them)."""
    graph = build(f"palm-{size}", Scenario.decode(0), unrolled=True)
    matrices = (
        t for t in graph.tensors.values() if t.role is TensorRole.WEIGHT and len(t.shape) > 1
    )
    assert round(sum(tensor.elements for tensor in matrices) / 1e9, 2) == printed
