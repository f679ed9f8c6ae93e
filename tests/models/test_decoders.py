"""GPT-2 and Llama: one prefill equals decoding with the cache, and both equal transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from inferstack.models.gpt2 import Gpt2Config
from inferstack.models.llama import LlamaConfig

from inferstack.core.errors import CheckpointError, InputError
from inferstack.ir.graph import TensorRole
from inferstack.models.architecture import architectures, build, random_weights
from inferstack.models.decoder import FINAL_NORM, LOGITS, caches_of
from inferstack.models.hugging_face import load_checkpoint, read_architecture
from inferstack.models.scenario import Scenario
from inferstack.ops.execute import execute

Array = npt.NDArray[Any]

TINY: dict[str, Any] = {
    "gpt2": Gpt2Config(
        layers=3, hidden=24, heads=4, feed_forward=40, vocabulary=50, positions=16, epsilon=1e-5
    ),
    "llama": LlamaConfig(
        layers=3,
        hidden=24,
        heads=6,
        kv_heads=2,
        feed_forward=40,
        vocabulary=50,
        positions=16,
        theta=10000.0,
        epsilon=1e-5,
        tied=False,
    ),
}
IDS = np.random.default_rng(0).integers(0, 50, (2, 9))


def weights(name: str, shape: tuple[int, ...]) -> Array:
    """Large enough that a wrong position or head shows in every hidden state."""
    values = random_weights(7)(name, shape)
    assert values is not None
    return values if name.endswith(".gamma") else values * np.float32(10)


def graph(family: str, scenario: Scenario) -> Any:
    architecture = architectures()[family]
    return architecture.build("tiny", TINY[family], scenario, weights, unrolled=True)


def prefill(family: str, ids: Array = IDS) -> tuple[Any, dict[str, Array]]:
    whole = graph(family, Scenario.prefill(ids.shape[1], batch=ids.shape[0]))
    return whole, execute(whole, {"ids": ids}, keep=True)


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("prompt", [0, 1, 4, 8])
def test_decoding_token_by_token_equals_one_prefill(family: str, prompt: int) -> None:
    _, expected = prefill(family)
    kv_heads = getattr(TINY[family], "kv_heads", TINY[family].heads)
    width = TINY[family].hidden // TINY[family].heads * kv_heads
    slots = ("key_cache", "value_cache")
    empty = np.zeros((2, 0, width), dtype=np.float32)
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


def referee(family: str) -> Any:
    """A model of transformers with sizes of TINY, its weights unset."""
    import transformers

    config, shared = TINY[family], {"attn_implementation": "eager", "vocab_size": 50}
    if family == "gpt2":
        return transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                n_layer=3, n_embd=24, n_head=4, n_inner=40, n_positions=16, **shared
            )
        )
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            num_hidden_layers=3,
            hidden_size=24,
            num_attention_heads=6,
            num_key_value_heads=2,
            intermediate_size=40,
            max_position_embeddings=16,
            rms_norm_eps=config.epsilon,
            **shared,
        )
    )


GPT2_NAMES = {
    "attn.c_proj": ("output",),
    "attn.c_attn": ("query", "key", "value"),
    "mlp.c_fc": ("intermediate",),
    "mlp.c_proj": ("ffn_output",),
    "ln_1": ("attention_norm",),
    "ln_2": ("ffn_norm",),
}
LLAMA_NAMES = {
    "self_attn.q_proj": ("query",),
    "self_attn.k_proj": ("key",),
    "self_attn.v_proj": ("value",),
    "self_attn.o_proj": ("output",),
    "mlp.gate_proj": ("gate",),
    "mlp.up_proj": ("intermediate",),
    "mlp.down_proj": ("ffn_output",),
    "input_layernorm": ("attention_norm",),
    "post_attention_layernorm": ("ffn_norm",),
}
WHOLE_NAMES = {
    "transformer.wte.weight": "embedding.word",
    "transformer.wpe.weight": "embedding.position",
    "transformer.ln_f.weight": "final_norm.gamma",
    "transformer.ln_f.bias": "final_norm.beta",
    "model.embed_tokens.weight": "embedding.word",
    "model.norm.weight": "final_norm.gamma",
    "lm_head.weight": "head.weight",
}


def stored(theirs: str, ours: dict[str, Array]) -> Array:
    """Our values for a parameter of transformers."""
    if theirs in WHOLE_NAMES:
        values = ours[WHOLE_NAMES[theirs]]
        return values.T if theirs == "lm_head.weight" else values
    _, _, layer, rest = theirs.split(".", 3)
    module, slot = rest.rsplit(".", 1)
    names = (GPT2_NAMES | LLAMA_NAMES)[module]
    slot = {"weight": "gamma", "bias": "beta"}[slot] if names[0].endswith("norm") else slot
    values = np.concatenate([ours[f"layer{layer}.{name}.{slot}"] for name in names], axis=-1)
    # GPT-2 keeps (k, n) like we do, Llama (n, k).
    return values.T if module in LLAMA_NAMES else values


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", TINY)
def test_every_hidden_state_equals_transformers(family: str) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    whole, results = prefill(family)
    ours = {n: t.data for n, t in whole.tensors.items() if t.role is TensorRole.WEIGHT}
    model = referee(family).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(stored(name, ours))))
        answer = model(torch.from_numpy(IDS), output_hidden_states=True)
    first = "embedding.add" if family == "gpt2" else "embedding.words"
    names = (first, "layer0.ffn_add", "layer1.ffn_add", FINAL_NORM)
    for name, theirs in zip(names, answer.hidden_states, strict=True):
        np.testing.assert_allclose(results[name], theirs.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(results[LOGITS], answer.logits.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gpt2", 124_439_808),
        ("gpt2-xl", 1_557_611_200),
        ("tinyllama-1.1b", 1_100_048_384),
        ("llama-2-7b", 6_738_415_616),
        ("llama-3-8b", 8_030_261_248),
        ("llama-3-70b", 70_553_706_496),
    ],
)
def test_models_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    model = build(name, Scenario.decode(0), unrolled=True)
    sizes = (t.elements for t in model.tensors.values() if t.role is TensorRole.WEIGHT)
    assert sum(sizes) == parameters


@pytest.mark.parametrize("family", TINY)
def test_sequences_beyond_the_positions_are_refused(family: str) -> None:
    with pytest.raises(InputError, match=r"17 tokens, cached ones included, need at most 16"):
        graph(family, Scenario.decode(16))
    with pytest.raises(InputError, match="a decoder does not encode"):
        graph(family, Scenario.encode(4))


def test_a_decoder_is_not_run_from_a_folder_yet(tmp_path: Path) -> None:
    content = {
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "n_embd": 8,
        "n_head": 2,
        "n_layer": 1,
        "vocab_size": 9,
        "n_positions": 16,
        "layer_norm_epsilon": 1e-5,
    }
    (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_architecture(tmp_path)[1].feed_forward == 32
    with pytest.raises(CheckpointError, match=r"the weights of this model_type are not read yet"):
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
    with pytest.raises(CheckpointError, match=r"head_dim .* got 32, need 16"):
        form.read_config("config.json", {**content, "num_key_value_heads": 2, "head_dim": 32})
    config = form.read_config("config.json", {**content, "num_key_value_heads": 2})
    assert (config.kv_heads, config.theta, config.tied) == (2, 10000.0, False)
    for key, value in (("num_key_value_head", 2), ("head-dim", 16), ("tie_word_embedding", True)):
        kept = {name: one for name, one in content.items() if name != "num_key_value_heads"}
        with pytest.raises(CheckpointError, match=f"unknown key '{key}'"):
            form.read_config("config.json", {**kept, key: value})
    with pytest.raises(CheckpointError, match="tie_word_embeddings makes no sense; got"):
        form.read_config(
            "config.json", {**content, "num_key_value_heads": 2, "tie_word_embeddings": "no"}
        )
