"""A folder that holds a part of a model is read as that part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inferstack as ist
from inferstack.compress.accuracy import embed
from inferstack.core.errors import CheckpointError
from inferstack.models.decoder_checkpoint import load_decoder
from inferstack.models.hugging_face import load_checkpoint, load_graph
from inferstack.models.scenario import Scenario
from inferstack.ops.execute import execute
from inferstack.testing.checkpoints import word_tokenizer

from .dense_decoders import GROUPED, VOCABULARY
from .referees import TWO_STACKS, Referee, saved

TOKENS = 7
IDS = np.random.default_rng(1).integers(2, VOCABULARY, (2, TOKENS))


def weight_elements(folder: Path) -> int:
    return ist.load(folder).count(TOKENS, dtype="float32").weight_bytes // 4


def hidden_state(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(torch.from_numpy(IDS)).last_hidden_state.numpy()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["t5", "mt5", "umt5"])
def test_an_encoder_without_its_decoder_only_encodes(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    whole = next(referee for referee in TWO_STACKS if referee.model_type == kind)
    auto = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}[kind]
    model = saved(Referee(model_type=kind, more=whole.more, auto=auto), tmp_path)
    assert ist.load(tmp_path).tasks == ("encode",)
    assert weight_elements(tmp_path) == model.num_parameters()
    graph, unused = load_graph(tmp_path, Scenario.encode(TOKENS, batch=2))
    assert not unused
    found = execute(graph, {"ids": IDS, "mask": np.ones_like(IDS)})[graph.outputs[0]]
    np.testing.assert_allclose(found, hidden_state(model), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_decoder_without_its_head_has_none(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    model = saved(Referee(model_type="mistral", more=GROUPED, auto="AutoModel"), tmp_path)
    assert weight_elements(tmp_path) == model.num_parameters()
    graph, unused = load_graph(tmp_path, Scenario.prefill(TOKENS, batch=2))
    assert not unused
    found = execute(graph, {"ids": IDS})[graph.outputs[0]]
    np.testing.assert_allclose(found, hidden_state(model), rtol=1e-4, atol=1e-4)
    with pytest.raises(CheckpointError, match="no model that continues a text"):
        load_decoder(tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_the_encoder_of_both_makes_vectors_of_sentences(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = saved(TWO_STACKS[0], tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps(word_tokenizer()), encoding="utf-8")
    ours = load_checkpoint(tmp_path, seq_len=TOKENS)
    assert len(ours.hidden_states) == 1 + model.config.num_layers
    arrays = ours.tokenizer.encode(["the dog ran very far and sat on the mat"])
    with torch.no_grad():
        hidden = model.encoder(torch.from_numpy(arrays["ids"])).last_hidden_state.numpy()
    np.testing.assert_allclose(embed(ours.graph, arrays), hidden.mean(axis=1), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_decoder_with_a_pooling_makes_vectors_of_sentences(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = saved(Referee(model_type="qwen3", more=GROUPED), tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps(word_tokenizer()), encoding="utf-8")
    (tmp_path / "1_Pooling").mkdir()
    said = {"word_embedding_dimension": 32, "pooling_mode_lasttoken": True}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(said), encoding="utf-8")
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    modules = [{"path": p, "type": f"sentence_transformers.models.{k}"} for p, k in kinds.items()]
    (tmp_path / "modules.json").write_text(json.dumps(modules), encoding="utf-8")

    ours = load_checkpoint(tmp_path, seq_len=TOKENS)
    arrays = ours.tokenizer.encode(["the cat sat", "the dog ran very far and sat on the mat"])
    with torch.no_grad():
        hidden = model.model(
            torch.from_numpy(arrays["ids"]), attention_mask=torch.from_numpy(arrays["mask"])
        ).last_hidden_state.numpy()
    last = arrays["mask"].sum(axis=1) - 1
    assert sorted(last) == [4, TOKENS - 1]
    np.testing.assert_allclose(
        embed(ours.graph, arrays), hidden[np.arange(2), last], rtol=1e-4, atol=1e-4
    )
    assert ist.load(tmp_path).tasks == ("encode",)
    assert weight_elements(tmp_path) == sum(p.numel() for p in model.model.parameters())
    assert ist.load(tmp_path).count(TOKENS, mask="causal").flops > 0


def test_a_head_that_is_the_table_of_words_stays(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    saved(Referee(model_type="gpt2", more={"n_embd": 8, "n_head": 2, "n_layer": 1}), tmp_path)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "architectures": ["GPT2Model"]}), encoding="utf-8")
    graph, _ = load_graph(tmp_path, Scenario.prefill(TOKENS))
    assert "logits" in graph.outputs
