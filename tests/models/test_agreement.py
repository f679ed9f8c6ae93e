"""Our encoders against `transformers`, the code that the weights were made for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.hugging_face import Checkpoint, load_checkpoint
from inferstack.ops.execute import execute

from .conftest import TINY, TinyCheckpoint

Array = npt.NDArray[Any]

HIDDEN_STATE_TOLERANCE = 1e-4
THEIR_NAMES = {"ids": "input_ids", "token_type_ids": "token_type_ids", "mask": "attention_mask"}
SHORT_AND_LONG = ["The cat sat.", "", "the dog ran very far and the cat sat on the mat ! " * 5]


def theirs(model: Any, feeds: dict[str, Array]) -> list[Array]:
    """Every hidden state by transformers."""
    torch = pytest.importorskip("torch")
    named = {THEIR_NAMES[name]: torch.tensor(values) for name, values in feeds.items()}
    with torch.no_grad():
        states = model(**named, output_hidden_states=True).hidden_states
    return [state.numpy() for state in states]


def read_by_transformers(folder: Path) -> Any:
    """The encoder without the pooler that we do not read; every weight out of the file."""
    transformers = pytest.importorskip("transformers")
    model, report = transformers.AutoModel.from_pretrained(
        folder, add_pooling_layer=False, output_loading_info=True
    )
    assert not report["missing_keys"], report
    return model.eval()


def in_double_precision(graph: Graph) -> Graph:
    """The same weights as float64; the references then compute in it."""
    tensors = {
        name: dataclasses.replace(tensor, data=tensor.data.astype(np.float64))
        if tensor.role is TensorRole.WEIGHT and tensor.data is not None
        else tensor
        for name, tensor in graph.tensors.items()
    }
    return dataclasses.replace(graph, tensors=tensors)


def distances(ours: Checkpoint, graph: Graph, feeds: dict[str, Array], model: Any) -> list[Array]:
    """|difference| (sentences, tokens, hidden) of each hidden state."""
    values = execute(graph, feeds, keep=True)
    expected = theirs(model, feeds)
    assert len(expected) == len(ours.hidden_states)
    pairs = zip(ours.hidden_states, expected, strict=True)
    return [np.abs(values[name] - state) for name, state in pairs]


@pytest.mark.slow
def test_minilm_agrees_with_transformers_in_every_hidden_state(
    sample_folder: Path, repository: Path
) -> None:
    """In float32 on all tokens; in float64 also on what stands in the padding.

    The padding's own rows are not determined in float32: there transformers itself is up to 1.4e-4
    away from its float64 result (an empty sentence), on tokens 6e-6.
    """
    ours = load_checkpoint(sample_folder, seq_len=32)
    text = (repository / "data" / "sentences.txt").read_text(encoding="utf-8")
    feeds = ours.tokenizer.encode([*text.splitlines()[:5], *SHORT_AND_LONG])
    attended = feeds["mask"] != 0
    assert attended.all(axis=1).any()
    assert attended.sum(axis=1).min() == 2
    model = read_by_transformers(sample_folder)
    for state in distances(ours, ours.graph, feeds, model):
        assert state[attended].max() < HIDDEN_STATE_TOLERANCE
    exact = distances(ours, in_double_precision(ours.graph), feeds, model.double())
    assert max(float(state.max()) for state in exact) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
@pytest.mark.parametrize("kind", sorted(TINY))
def test_a_checkpoint_made_here_agrees_with_transformers(
    kind: str, activation: str, tmp_path: Path
) -> None:
    tiny = TINY[kind](tmp_path / "tiny")
    tiny.config["hidden_act"] = activation
    ours = tiny.load()
    feeds = ours.tokenizer.encode(SHORT_AND_LONG)
    assert feeds["mask"].sum(axis=1).tolist()[1:] == [2, 18]
    model = read_by_transformers(tiny.folder)
    for state in distances(ours, ours.graph, feeds, model):
        assert state.max() < HIDDEN_STATE_TOLERANCE
    exact = distances(ours, in_double_precision(ours.graph), feeds, model.double())
    # RoBERTa's one row of types is added to its positions in float32, when the folder is read.
    tolerance = 1e-6 if kind == "roberta" else 1e-9
    assert max(float(state.max()) for state in exact) < tolerance


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_folder_that_transformers_saves_is_read(kind: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    tiny = TINY[kind](tmp_path / "tiny")
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(**tiny.config))
    tiny.write()
    model.eval().save_pretrained(tiny.folder)
    ours = load_checkpoint(tiny.folder, seq_len=9)
    feeds = ours.tokenizer.encode(SHORT_AND_LONG)
    for state in distances(ours, ours.graph, feeds, model):
        assert state.max() < HIDDEN_STATE_TOLERANCE


def test_padding_moves_no_token_of_roberta(roberta: TinyCheckpoint) -> None:
    """Positions count what is no padding, from the padding id on: a longer table row for none."""
    long, short = roberta.load(18), roberta.load(7)
    feeds = long.tokenizer.encode(["cat"])
    whole = execute(long.graph, feeds)["sentence_embedding"]
    cut = execute(short.graph, short.tokenizer.encode(["cat"]))["sentence_embedding"]
    assert feeds["ids"].tolist() == [[0, 261, 2] + [1] * 15]
    assert whole == pytest.approx(cut, abs=1e-6)


@pytest.mark.parametrize("stored", [np.float16, np.float64])
def test_weights_stored_in_another_float_type_are_the_rounded_ones(
    bert: TinyCheckpoint, stored: type
) -> None:
    rounded = {n: v.astype(stored).astype(np.float32) for n, v in bert.tensors.items()}
    bert.tensors = {name: values.astype(stored) for name, values in bert.tensors.items()}
    first = bert.load()
    bert.tensors = rounded
    assert same_weights(first.graph, bert.load().graph)


def test_names_of_older_checkpoints_mean_the_same(bert: TinyCheckpoint) -> None:
    """A prefix for the encoder inside a larger model, and TensorFlow's names of LayerNorm."""
    first = bert.load()
    older = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    bert.tensors = {
        f"bert.{name}".replace(new, old) if new in name else f"bert.{name}": values
        for name, values in bert.tensors.items()
        for new, old in [next((i for i in older.items() if i[0] in name), ("", ""))]
    }
    assert any(name.endswith("LayerNorm.gamma") for name in bert.tensors)
    assert same_weights(first.graph, bert.load().graph)


def same_weights(a: Graph, b: Graph) -> bool:
    """Whether two graphs have the same tensors with the same values."""
    assert list(a.tensors) == list(b.tensors)
    values = [(x.data, b.tensors[name].data) for name, x in a.tensors.items()]
    return all(
        x is y if x is None or y is None else np.array_equal(x, y) and x.dtype == y.dtype
        for x, y in values
    )
