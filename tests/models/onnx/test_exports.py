"""Exported models give the values of ONNX Runtime, out of operators of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.models.onnx.agreement import disagreement, kinds
from tests.models.onnx.conftest import Exported
from tests.models.onnx.exports import DECODERS, models

from inferstack.models.onnx.model import open_model
from inferstack.models.scenario import Phase, Scenario

CLOSE = 1e-4
FORMS = {
    "bert": {
        "attention_scores": 2,
        "softmax": 2,
        "attention_context": 2,
        "layernorm": 5,
        "gelu": 2,
    },
    "roberta": {"position_embedding": 1, "embedding": 1, "layernorm": 5},
    "distilbert": {"token_pool": 1, "matmul": 14},
    "mpnet": {"position_bias": 2},
    "modernbert": {"rotary": 4, "gelu": 2, "multiply": 2},
    "t5": {"position_bias": 2, "rmsnorm": 5, "relu": 2},
    "gpt2": {"matmul": 13, "gelu": 2},
    "gptj": {"rotary": 4, "matmul": 13},
    "gpt_neox": {"rotary": 4, "matmul": 13},
    "llama": {"rotary": 4, "rmsnorm": 5, "silu": 2, "matmul": 15},
    "qwen3": {"rotary": 4, "rmsnorm": 9},
    "gemma2": {"softcap": 3, "rmsnorm": 9, "scale": 1},
    "bloom": {"alibi": 2},
    "opt": {"relu": 2, "position_embedding": 1},
    "vit": {"conv2d": 1, "to_tokens": 1, "prepend": 1},
    "whisper": {"conv2d": 2, "gelu": 4, "to_tokens": 1},
}
"""What of each must be recovered, among others."""
TOKENS = {"vit": 1, "whisper": 12}


def scenario_of(name: str) -> Scenario:
    tokens = TOKENS.get(name, 9)
    if name in DECODERS:
        return Scenario.prefill(tokens, batch=2)
    return Scenario.encode(tokens, batch=2)


@pytest.mark.parametrize("name", FORMS)
def test_an_export_gives_the_runtimes_values(exported: Exported, name: str) -> None:
    worst, recovered = disagreement(exported(name), scenario_of(name))
    assert worst < CLOSE
    found = kinds(recovered)
    assert {kind: found.get(kind) for kind in FORMS[name]} == FORMS[name]
    assert recovered.unused == ()


def test_the_forms_are_of_all_models() -> None:
    assert set(FORMS) == set(models())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_the_dynamo_exporters_files_are_the_same_graph(exported: Exported, name: str) -> None:
    worst, recovered = disagreement(exported(f"{name}!"), scenario_of(name))
    _, other = disagreement(exported(name), scenario_of(name))
    assert worst < CLOSE
    assert kinds(recovered) == kinds(other)


def test_a_decoder_is_causal_and_an_encoder_has_a_mask(exported: Exported) -> None:
    llama = open_model(exported("llama")).recovered(Scenario.prefill(9), valued=False).graph
    bert = open_model(exported("bert")).recovered(Scenario.encode(9), valued=False).graph
    for graph, causal in ((llama, True), (bert, False)):
        softmaxes = [o for o in graph.operators if o.kind == "softmax"]
        assert [o.attributes["causal"] for o in softmaxes] == [causal, causal]
        assert all(o.inputs["mask"] == "mask" for o in softmaxes)
    assert open_model(exported("llama")).phases == (Phase.PREFILL,)
    assert open_model(exported("bert")).phases == (Phase.ENCODE,)


def test_local_layers_have_their_window(exported: Exported) -> None:
    graph = open_model(exported("gemma2")).recovered(Scenario.prefill(20), valued=False).graph
    softmaxes = [o for o in graph.operators if o.kind == "softmax"]
    assert [o.attributes.get("window", 0) for o in softmaxes] == [8, 0]


def test_no_values_are_read_where_shapes_are_asked_for(exported: Exported) -> None:
    graph = open_model(exported("bert")).recovered(Scenario.encode(9), valued=False).graph
    weights = [t for t in graph.tensors.values() if t.role.value == "weight"]
    assert weights
    assert all(t.data is None for t in weights)


def test_counts_are_those_of_the_same_model_by_its_config(
    exported: Exported, tmp_path: Path
) -> None:
    import torch
    import transformers
    from tests.models.onnx.exports import GPT

    import inferstack as ist

    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT)).save_pretrained(tmp_path)
    by_config = ist.load(tmp_path).count(16, phase="prefill", dtype="float32", by="kind")
    by_file = ist.load(exported("gpt2")).count(16, phase="prefill", by="kind")
    assert by_file.flops == by_config.flops
