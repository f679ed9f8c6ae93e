"""Poolings of sentence encoders against numpy, in every form in which a folder may ask for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.compress.accuracy import embed
from inferstack.core.errors import CheckpointError
from inferstack.models.hugging_face import Checkpoint, load_checkpoint
from inferstack.models.pooling import FLAGS
from inferstack.ops.execute import execute
from inferstack.testing.checkpoints import HIDDEN, TinyCheckpoint

Array = npt.NDArray[Any]
SENTENCES = ["the cat sat", "the dog ran very far and the cat sat on the mat !", "a"]
OLD, NEW = "sentence_transformers.models.", "sentence_transformers.base.modules."


class Folder:
    """A sentence encoder's folder that a test fills."""

    def __init__(self, tiny: TinyCheckpoint) -> None:
        self.path, self.modules = tiny.write(), [{"type": f"{OLD}Transformer", "path": ""}]

    def add(self, kind: str, prefix: str = OLD, /, **config: Any) -> Path:
        """One more module with its config.json; returns its folder."""
        path = self.path / f"{len(self.modules)}_{kind}"
        path.mkdir()
        if config:
            (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        self.modules.append({"type": f"{prefix}{kind}", "path": path.name})
        return path

    def dense(self, inputs: int, outputs: int, **more: Any) -> dict[str, Array]:
        """A dense layer with random weights, which it returns."""
        from safetensors.numpy import save_file

        config = {"in_features": inputs, "out_features": outputs, **more}
        path = self.add("Dense", **config)
        random = np.random.default_rng([inputs, outputs])
        tensors = {"linear.weight": random.normal(size=(outputs, inputs))}
        if more.get("bias", True):
            tensors["linear.bias"] = random.normal(size=outputs)
        if more.get("use_residual") and inputs != outputs:
            tensors["residual.weight"] = random.normal(size=(outputs, inputs))
        tensors = {name: values.astype(np.float32) for name, values in tensors.items()}
        save_file(tensors, path / "model.safetensors")
        return tensors

    def load(self) -> Checkpoint:
        text = json.dumps(self.modules)
        (self.path / "modules.json").write_text(text, encoding="utf-8")
        return load_checkpoint(self.path, seq_len=18)


@pytest.fixture
def folder(bert: TinyCheckpoint) -> Folder:
    return Folder(bert)


def tokens_of(checkpoint: Checkpoint, sentences: list[str]) -> list[Array]:
    """The hidden states of each sentence's own tokens."""
    feeds = checkpoint.tokenizer.encode(sentences)
    hidden = execute(checkpoint.graph, feeds, keep=True)[checkpoint.hidden_states[-1]]
    return [row[mask != 0] for row, mask in zip(hidden, feeds["mask"], strict=True)]


def pooled(mode: str, x: Array) -> Array:
    """Of one sentence's tokens (tokens, d)."""
    if mode == "weightedmean":
        weights = np.arange(1, len(x) + 1)
        return np.asarray(np.average(x, axis=0, weights=weights))
    return np.asarray(
        {
            "cls": x[0],
            "lasttoken": x[-1],
            "max": x.max(axis=0),
            "mean": x.mean(axis=0),
            "mean_sqrt_len_tokens": x.sum(axis=0) / len(x) ** 0.5,
        }[mode]
    )


def check(checkpoint: Checkpoint, modes: list[str]) -> None:
    feeds = checkpoint.tokenizer.encode(SENTENCES)
    ours = execute(checkpoint.graph, feeds)[checkpoint.graph.outputs[0]]
    rows = tokens_of(checkpoint, SENTENCES)
    assert sorted(map(len, rows)) == [3, 5, 15]
    expected = [np.concatenate([pooled(mode, row) for mode in modes]) for row in rows]
    np.testing.assert_allclose(ours, np.stack(expected), rtol=1e-5, atol=1e-5)
    # As it is used: batches of one length, without the padding.
    np.testing.assert_allclose(embed(checkpoint.graph, feeds), ours, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("flag", "mode"), FLAGS.items())
def test_each_pooling_by_its_flag(flag: str, mode: str, folder: Folder) -> None:
    flags = {other: other == flag for other in FLAGS}
    folder.add("Pooling", word_embedding_dimension=HIDDEN, **flags)
    check(folder.load(), [mode])


@pytest.mark.parametrize(
    ("says", "modes"),
    [
        ({"pooling_mode": "lasttoken"}, ["lasttoken"]),
        ({"pooling_mode": ["max", "cls"]}, ["max", "cls"]),
        ({"pooling_mode": "mean+max"}, ["mean", "max"]),
        ({"pooling_mode": "cls", "pooling_mode_mean_tokens": True}, ["cls"]),
        ({"pooling_mode_mean_tokens": False}, ["mean"]),
        ({"word_embedding_dimension": HIDDEN}, ["mean"]),
        (
            {"pooling_mode_lasttoken": True, "pooling_mode_max_tokens": True,
             "pooling_mode_cls_token": True},
            ["cls", "max", "lasttoken"],
        ),
    ],
)  # fmt: skip
def test_several_poolings_stand_in_their_order(
    says: dict[str, object], modes: list[str], folder: Folder
) -> None:
    folder.add("Pooling", f"{NEW[:-13]}sentence_transformer.modules.pooling.", **says)
    check(folder.load(), modes)


def test_without_modules_the_mean_is_taken(bert: TinyCheckpoint) -> None:
    check(load_checkpoint(bert.write(), seq_len=18), ["mean"])


def unit(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


@pytest.mark.parametrize("modes", [["cls"], ["mean"], ["mean", "max"]])
def test_normalize_gives_rows_of_length_one(modes: list[str], folder: Folder) -> None:
    folder.add("Pooling", pooling_mode=modes)
    plain = folder.load()
    feeds = plain.tokenizer.encode(SENTENCES)
    expected = unit(execute(plain.graph, feeds)[plain.graph.outputs[0]])
    folder.add("Normalize", f"{NEW}normalize.")
    graph = folder.load().graph
    np.testing.assert_allclose(execute(graph, feeds)[graph.outputs[0]], expected, atol=1e-6)


IDENTITY = "torch.nn.modules.linear.Identity"


@pytest.mark.parametrize(
    ("config", "residual"),
    [
        ({}, False),
        ({"activation_function": "torch.nn.modules.activation.Tanh", "bias": False}, False),
        ({"activation_function": IDENTITY, "use_residual": True}, True),
        ({"activation_function": None, "bias": True}, False),
    ],
)
def test_dense_layers_follow_the_pooling(
    config: dict[str, object], residual: bool, folder: Folder
) -> None:
    folder.add("Pooling", pooling_mode=["cls", "max"])
    plain = folder.load()
    feeds = plain.tokenizer.encode(SENTENCES)
    x = execute(plain.graph, feeds)[plain.graph.outputs[0]]
    for inputs, outputs in ((2 * HIDDEN, 24), (24, 24)):
        tensors = folder.dense(inputs, outputs, **config)
        made = x @ tensors["linear.weight"].T + tensors.get("linear.bias", 0)
        if "activation_function" not in config or config["activation_function"] not in (
            IDENTITY, None,
        ):  # fmt: skip
            made = np.tanh(made)
        if residual:
            kept = tensors.get("residual.weight")
            made = made + (x if kept is None else x @ kept.T)
        x = made
    folder.add("Normalize")
    checkpoint = folder.load()
    assert checkpoint.graph.tensors[checkpoint.graph.outputs[0]].shape == (1, 24)
    ours = execute(checkpoint.graph, feeds)[checkpoint.graph.outputs[0]]
    np.testing.assert_allclose(ours, unit(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["integer-only", "int8-float"])
def test_encoders_with_dense_layers_become_integers(method: str, folder: Folder) -> None:
    from inferstack.api.encoder import Encoder

    folder.add("Pooling", pooling_mode="cls")
    folder.dense(HIDDEN, 24)
    folder.add("Normalize")
    checkpoint = folder.load()
    reference = Encoder("tiny", checkpoint.graph, checkpoint.tokenizer)
    integers = reference.quantized(SENTENCES, method=method)
    assert integers.is_integer
    assert integers.accuracy_against(reference, SENTENCES).mean_cosine > 0.98


def prompts(folder: Folder, content: object) -> None:
    path = folder.path / "config_sentence_transformers.json"
    path.write_text(json.dumps(content), encoding="utf-8")


def test_the_default_prompt_stands_before_every_sentence(folder: Folder) -> None:
    folder.add("Pooling", pooling_mode="mean", include_prompt=True)
    plain = folder.load().tokenizer
    known = {"prompts": {"query": "the mat ", "document": ""}}
    for name, prefix in ((None, ""), ("document", ""), ("query", "the mat ")):
        prompts(folder, {**known, "default_prompt_name": name})
        ours = folder.load().tokenizer.encode(SENTENCES)
        expected = plain.encode([prefix + sentence for sentence in SENTENCES])
        assert all(np.array_equal(ours[key], expected[key]) for key in ours)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"default_prompt_name": "query"}, "default_prompt_name names no prompt; got query"),
        ({"default_prompt_name": "q", "prompts": {"q": 3}}, "default_prompt_name names no prompt"),
        ({"default_prompt_name": "q", "prompts": ["q"]}, "default_prompt_name names no prompt"),
        ({"default_prompt_name": 3}, "default_prompt_name is not text"),
    ],
)
def test_prompts_that_make_no_sense_are_said(content: object, what: str, folder: Folder) -> None:
    folder.add("Pooling", pooling_mode="mean")
    prompts(folder, content)
    with pytest.raises(CheckpointError, match=what):
        folder.load()


def test_a_pooling_that_would_leave_the_prompt_out_is_refused(folder: Folder) -> None:
    folder.add("Pooling", pooling_mode="mean", include_prompt=False)
    folder.load()
    prompts(folder, {"default_prompt_name": "q", "prompts": {"q": "a "}})
    with pytest.raises(CheckpointError, match="include_prompt is not supported"):
        folder.load()


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"in_features": 31}, "in_features is not the width of what stands before it; got 31"),
        ({"out_features": 9}, "tensor linear.weight: has another shape than config.json says"),
        ({"bias": True}, "lacks the tensor 'linear.bias'"),
        ({"activation_function": "my.own.Thing"}, "activation_function is not supported"),
        ({"activation_functio": IDENTITY}, "has the unknown key 'activation_functio'"),
        ({"module_input_name": "token_embeddings"}, "module_input_name is not supported"),
    ],
)
def test_dense_layers_that_make_no_sense_are_said(
    config: dict[str, object], what: str, folder: Folder
) -> None:
    folder.add("Pooling", pooling_mode="mean")
    folder.dense(HIDDEN, 8, bias=False)
    content = {"in_features": HIDDEN, "out_features": 8, "bias": False, **config}
    (folder.path / "2_Dense" / "config.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=what):
        folder.load()


def test_dense_layers_need_their_files(folder: Folder) -> None:
    folder.add("Pooling", pooling_mode="mean")
    folder.dense(HIDDEN, 8)
    (folder.path / "2_Dense" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: does not exist, but modules"):
        folder.load()


def test_a_dense_layer_of_torch_is_read(folder: Folder) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    folder.add("Pooling", pooling_mode="mean")
    folder.dense(HIDDEN, 8)
    expected = folder.load().pooling
    path = folder.path / "2_Dense"
    torch.save(load_file(path / "model.safetensors"), path / "pytorch_model.bin")
    (path / "model.safetensors").unlink()
    found = folder.load().pooling
    np.testing.assert_array_equal(found.dense[0].weight, expected.dense[0].weight)


@pytest.mark.parametrize(
    "modules",
    [
        ["Pooling", "LayerNorm"], ["Pooling", "Normalize", "Dense"], ["Dense", "Pooling"],
        ["Pooling", "Normalize", "Normalize"],
    ],
)  # fmt: skip
def test_other_modules_are_refused(modules: list[str], folder: Folder) -> None:
    for module in modules:
        folder.add(module, pooling_mode="mean")
    with pytest.raises(CheckpointError, match="these modules are not supported; got Transformer"):
        folder.load()


def test_a_module_of_the_models_own_code_is_refused(folder: Folder) -> None:
    folder.add("Pooling", "custom_st.", pooling_mode="mean")
    with pytest.raises(
        CheckpointError, match="these modules are not supported; got Transformer, c"
    ):
        folder.load()


def test_a_transformer_in_its_own_folder_is_refused(folder: Folder) -> None:
    folder.modules[0]["path"] = "0_Transformer"
    folder.add("Pooling", pooling_mode="mean")
    with pytest.raises(CheckpointError, match="stands in a folder of its own; got 0_Transformer"):
        folder.load()


def test_a_normalize_of_tokens_is_refused(folder: Folder) -> None:
    folder.add("Pooling", pooling_mode="mean")
    folder.add("Normalize", module_input_name="token_embeddings")
    with pytest.raises(CheckpointError, match="module_input_name is not supported"):
        folder.load()
