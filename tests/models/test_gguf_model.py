"""GGUF models: what the package `gguf` names and llama.cpp's converter turns, read back alike."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import inferstack as ist
from inferstack.api.decoder import loaded_decoder
from inferstack.cli.main import main
from inferstack.core.errors import CheckpointError
from inferstack.generate.runner import TEMPLATE, Runner
from inferstack.models.gguf_file import GgufFile, open_gguf
from inferstack.models.gguf_model import open_model
from inferstack.models.gguf_tokenizer import LLAMA3, gguf_tokenizer
from inferstack.models.hugging_face import load_graph, read_architecture
from inferstack.testing.checkpoints import tiny_llama

from .dense_decoders import VOCABULARY
from .referees import REFEREES, saved

gguf = pytest.importorskip("gguf")
Array = npt.NDArray[Any]
Change = Callable[[dict[str, Any]], None]

KEYS = {
    "block_count": "num_hidden_layers", "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size", "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps", "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}  # fmt: skip
"""GGUF's keys and those of config.json."""


def permuted(values: Array, heads: int) -> Array:
    """As the converter to llama lays out queries and keys."""
    halves = values.reshape(heads, 2, -1, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def converted(folder: Path, path: Path, architecture: str, change: Change | None = None) -> Path:
    """The model of a Hugging Face folder as a GGUF file, as llama.cpp's converter writes it."""
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    data: dict[str, Any] = {
        f"{architecture}.{key}": config[name]
        for key, name in KEYS.items()
        if config.get(name) is not None
    }
    rope = config.get("rope_parameters") or {}
    rope = rope.get("full_attention", rope)
    if "sliding_attention" in (config.get("rope_parameters") or {}):
        near = config["rope_parameters"]["sliding_attention"]["rope_theta"]
        data[f"{architecture}.rope.freq_base_swa"] = float(near)
    data[f"{architecture}.rope.freq_base"] = float(rope.get("rope_theta", 10000.0))
    if architecture.startswith("qwen"):
        data.pop(f"{architecture}.attention.sliding_window", None)
    if rope.get("rope_type") in ("linear", "yarn"):
        data[f"{architecture}.rope.scaling.type"] = rope["rope_type"]
        data[f"{architecture}.rope.scaling.factor"] = float(rope["factor"])
    if "original_max_position_embeddings" in rope:
        data[f"{architecture}.rope.scaling.original_context_length"] = rope[
            "original_max_position_embeddings"
        ]
    rotary = read_architecture(folder)[1].layers[0].attention.rotary
    data[f"{architecture}.rope.dimension_count"] = rotary.width
    if rotary.scaling == "longrope":
        data[f"{architecture}.rope.scaling.attn_factor"] = rotary.amplitude
    data["tokenizer.ggml.model"] = "gpt2"
    data["tokenizer.ggml.tokens"] = [chr(ord("a") + n) for n in range(VOCABULARY)]
    data["tokenizer.ggml.merges"] = ["a b"]
    if change is not None:
        change(data)
    kind = next(k for k, n in gguf.MODEL_ARCH_NAMES.items() if n == architecture)
    names = gguf.get_tensor_name_map(kind, config["num_hidden_layers"])
    writer = gguf.GGUFWriter(path, architecture)
    add = {
        bool: writer.add_bool,
        int: writer.add_uint32,
        float: writer.add_float32,
        str: writer.add_string,
    }
    for key, value in data.items():
        add.get(type(value), writer.add_array)(key, value)
    for name, values in load_file(folder / "model.safetensors").items():
        values = values.astype(np.float32)
        if architecture == "llama" and ".q_proj." in name:
            values = permuted(values, config["num_attention_heads"])
        if architecture == "llama" and ".k_proj." in name:
            values = permuted(values, config["num_key_value_heads"])
        if architecture.startswith("gemma") and name.endswith("norm.weight"):
            values = values + 1
        if "qkv_proj" in name or "gate_up_proj" in name:
            values = np.ascontiguousarray(values)
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), values)
    if rope.get("rope_type") == "llama3":
        plain = rotary.theta ** -(np.arange(rotary.width // 2) / (rotary.width // 2))
        factors = (plain / np.array(rotary.frequencies(1))).astype(np.float32)
        writer.add_tensor("rope_freqs.weight", factors)
    for length in ("long", "short"):
        if rotary.scaling == "longrope":
            factors = np.array(getattr(rotary, length), dtype=np.float32)
            writer.add_tensor(f"rope_factors_{length}.weight", factors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


ARCHITECTURES = {
    "llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "phi3": "phi3",
    "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3",
}  # fmt: skip
NOT_WRITTEN = {"qwen2 window", "gemma2 no caps"}
"""Referees with what GGUF files have no key for."""
READ = [one for one in REFEREES if one.model_type in ARCHITECTURES and one.name not in NOT_WRITTEN]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("referee", READ, ids=lambda referee: referee.name)
def test_logits_are_those_of_the_folder(referee: Any, tmp_path: Path) -> None:
    if referee.model_type in ("gemma2", "gemma3_text"):
        # No key says by what queries are scaled: llama.cpp takes the width of a head.
        own = {"query_pre_attn_scalar": referee.more["head_dim"]}
        if referee.model_type == "gemma3_text":
            # Nor which layers see all: every sixth.
            own |= {"num_hidden_layers": 6, "sliding_window_pattern": 6}
        referee = replace(referee, more={**referee.more, **own})
    saved(referee, tmp_path)
    architecture = ARCHITECTURES[referee.model_type]
    model = open_model(converted(tmp_path, tmp_path / "m.gguf", architecture))
    weights = model.weights()
    ours = model.architecture.build("m", model.description, TEMPLATE, weights, unrolled=True)
    assert not weights.unused
    graph, _ = load_graph(tmp_path, TEMPLATE)
    ids = np.random.default_rng(2).integers(0, VOCABULARY, 14)
    expected = Runner(graph, read_architecture(tmp_path)[1]).start(14).feed(ids, every=True)
    found = Runner(ours, model.description).start(14).feed(ids, every=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """The folder of a tiny Llama."""
    return tiny_llama(tmp_path / "tiny").write()


def with_words(data: dict[str, Any], folder: Path) -> None:
    """The tokenizer of the folder, in GGUF's keys."""
    made = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    words = sorted(made["model"]["vocab"], key=made["model"]["vocab"].__getitem__)
    special = {one["content"] for one in made["added_tokens"]}
    merges = [m if isinstance(m, str) else " ".join(m) for m in made["model"]["merges"]]
    data |= {
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.token_type": [3 if word in special else 1 for word in words],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.chat_template": "{{ bos_token }}{{ messages[0].content }}!",
    }


def whole_file(llama: Path, path: Path, change: Change | None = None) -> Path:
    def words(data: dict[str, Any]) -> None:
        with_words(data, llama)
        if change is not None:
            change(data)

    return converted(llama, path, "llama", words)


def test_a_file_does_what_its_folder_does(
    llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = whole_file(llama, tmp_path / "m.gguf")
    theirs, ours = loaded_decoder(llama), ist.load(path).decoder()
    assert ours.name == "m"
    assert ours.tokenizer.end_ids == {2}
    for text in ("the cat", "naïve 日本 👩‍👩‍👧", " <s> a\n\tb"):
        ids = theirs.tokenizer.encode(text, special=False)
        assert ours.tokenizer.encode(text) == ids
        assert ours.tokenizer.decode(ids) == theirs.tokenizer.decode(ids)
    assert ours.tokenizer.encode_chat("a cat")[0] == 0
    ids = theirs.tokenizer.encode("the cat sat", special=False)
    found, expected = (one.runner.start(20).feed(ids) for one in (ours, theirs))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert main(["generate", str(path), "--prompt", "the cat", "--max-tokens", "5"]) == 0
    assert capsys.readouterr().out == ours.generate("the cat", max_tokens=5) + "\n"
    assert main(["analyze", str(path), "--seq-len", "8", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("general.architecture", "bert", "this general.architecture is not read"),
        ("llama.attention.clamp_kqv", 8.0, "has a key that is not known"),
        ("llama.expert_count", 8, "mixtures of experts"),
        ("llama.block_count", 0, "llama.block_count makes no sense"),
        ("llama.attention.head_count", [4, 4], "llama.attention.head_count makes no sense"),
        ("llama.attention.value_length", 9, "keys and values have other widths"),
        ("llama.rope.dimension_count", 4, "heads of which a part turns"),
        ("llama.rope.scaling.type", "dynamic", "rope.scaling.type is not read"),
        ("llama.rope.scaling.attn_factor", 2.0, "has a key that is not known"),
        ("lama.rope.freq_base", 5.0, "has the unknown key 'lama.rope.freq_base'"),
        ("llamarope.freq_base", 5.0, "need 'llama.rope.freq_base', or neither"),
        ("tokenizer.chat-template", "a", "need 'tokenizer.chat_template', or neither"),
        ("tokenizer.ggml.add_bos_tokem", True, "has the unknown key 'tokenizer.ggml.add_bos_tokem"),
        ("llama.feed_forward_length", 64, "has another shape than its metadata says"),
        ("llama.block_count", 1, "more layers than its metadata says"),
        ("tokenizer.ggml.model", "bert", "tokenizer.ggml.model is not read"),
        ("tokenizer.ggml.pre", "new", "tokenizer.ggml.pre is not known"),
        ("tokenizer.ggml.tokens", "words", "no list of texts"),
        ("tokenizer.ggml.tokens", ["a", "a"], "a token twice"),
        ("tokenizer.ggml.tokens", [str(n) for n in range(999)], "embedding table lacks"),
        ("tokenizer.ggml.merges", ["cat"], "no pair of tokens"),
        ("tokenizer.ggml.merges", ["no where"], "a tokenizer that cannot be made"),
        ("tokenizer.ggml.token_type", [1], "no number for each"),
        ("tokenizer.ggml.eos_token_id", 999, "eos_token_id makes no sense"),
        ("tokenizer.chat_template", 5, "chat_template is no text"),
    ],
)
def test_what_is_not_read_is_one_error(
    llama: Path, tmp_path: Path, key: str, value: Any, message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / "m.gguf"
    if key == "general.architecture":
        whole_file(llama, path)
        path.write_bytes(
            path.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0other", 1)
        )
    else:
        whole_file(llama, path, lambda data: data.__setitem__(key, value))
    with pytest.raises(CheckpointError, match=message):
        loaded_decoder(path)
    assert main(["generate", str(path), "--prompt", "a"]) == 2
    assert capsys.readouterr().err.count("error: ") == 1


def written(
    path: Path,
    llama: Path,
    tensors: dict[str, Array],
    change: Change | None = None,
    architecture: str = "llama",
) -> Path:
    """The tiny Llama's file with more tensors, or others of the same name; None leaves one out."""
    whole_file(llama, path, change)
    file = open_gguf(path)
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in file.metadata.items():
        name = key.replace("llama.", f"{architecture}.")
        if name != "general.architecture":
            {
                bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32,
                str: writer.add_string, list: writer.add_array,
            }[type(value)](name, value)  # fmt: skip
    values = {name: file.float32(name) for name in file.tensors} | tensors
    for name, one in values.items():
        writer.add_tensor(name, np.ascontiguousarray(one))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


ONES = np.ones(4, dtype=np.float32)
LONG_ONE, SHORT_ONE = "rope_factors_long.weight", "rope_factors_short.weight"


@pytest.mark.parametrize(
    ("tensors", "keys", "message"),
    [
        ({"blk.0.attn_q.scale": ONES}, {}, "has tensors that the model does not read"),
        ({"rope_freqs.weight": ONES}, {"rope.scaling.factor": 2.0}, "stretches positions twice"),
        (
            {"rope_freqs.weight": ONES},
            {"rope.scaling.type": "yarn", "rope.scaling.factor": 2.0},
            "stretches positions twice",
        ),
        ({LONG_ONE: ONES}, {}, f"has one of {LONG_ONE} and {SHORT_ONE}"),
        ({SHORT_ONE: ONES, "rope_freqs.weight": ONES}, {}, f"has one of {LONG_ONE} and"),
        ({"rope_freqs.weight": 0 * ONES}, {}, "short_factor makes no sense"),
    ],
)
def test_what_would_be_left_out_is_refused(
    tensors: dict[str, Array], keys: dict[str, Any], message: str, llama: Path, tmp_path: Path
) -> None:
    def change(data: dict[str, Any]) -> None:
        data.update({f"llama.{key}": value for key, value in keys.items()})

    path = written(tmp_path / "m.gguf", llama, tensors, change)
    with pytest.raises(CheckpointError, match=message):
        loaded_decoder(path)


def test_a_factor_without_a_kind_stretches_all_alike(llama: Path, tmp_path: Path) -> None:
    path = whole_file(
        llama, tmp_path / "m.gguf", lambda d: d.__setitem__("llama.rope.scaling.factor", 4.0)
    )
    rotary = open_model(path).description.layers[0].attention.rotary
    assert rotary is not None
    assert (rotary.scaling, rotary.factor) == ("linear", 4.0)


def test_a_window_keeps_the_biases(llama: Path, tmp_path: Path) -> None:
    wide = np.ones(32, dtype=np.float32)
    biases = {f"blk.{n}.attn_{m}.bias": wide for n in (0, 1) for m in ("q", "output")}
    biases |= {f"blk.{n}.attn_{m}.bias": wide[:16] for n in (0, 1) for m in "kv"}
    window = {"llama.attention.sliding_window": 9}
    path = written(tmp_path / "m.gguf", llama, biases, lambda d: d.update(window))
    attention = open_model(path).description.layers[0].attention
    assert (attention.window, attention.bias, attention.output_bias) == (9, True, True)
    loaded_decoder(path)


@pytest.mark.parametrize("architecture", ["qwen2", "qwen3", "gemma"])
def test_windows_that_a_family_has_none_of_are_refused(
    architecture: str, llama: Path, tmp_path: Path
) -> None:
    window = {"llama.attention.sliding_window": 9}
    path = written(tmp_path / "m.gguf", llama, {}, lambda d: d.update(window), architecture)
    with pytest.raises(CheckpointError, match="a window is not read for this architecture"):
        open_model(path)


def test_queries_with_a_leading_axis_are_put_back_too(llama: Path, tmp_path: Path) -> None:
    plain = open_model(whole_file(llama, tmp_path / "plain.gguf")).weights()
    name = "blk.0.attn_q.weight"
    values = plain.files[name].path
    stored = open_gguf(values).float32(name)[None]
    path = written(tmp_path / "m.gguf", llama, {name: stored})
    found = open_model(path).weights()("layer0.query.weight", (32, 32))
    np.testing.assert_array_equal(found, plain("layer0.query.weight", (32, 32)))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_file_without_tokens_is_refused(kind: str, llama: Path, tmp_path: Path) -> None:
    file = open_gguf(whole_file(llama, tmp_path / "m.gguf"))
    lists: dict[str, Any] = {
        f"tokenizer.ggml.{name}": [] for name in ("tokens", "token_type", "scores", "merges")
    }
    said = {**file.metadata, **lists, "tokenizer.ggml.model": kind}
    with pytest.raises(CheckpointError, match="has no tokens"):
        gguf_tokenizer(replace(file, metadata=said), 264)


def test_pieces_that_are_too_long_are_refused(llama: Path, tmp_path: Path) -> None:
    said = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["<unk>", "a" * 1025],
        "tokenizer.ggml.scores": [0.0, 0.0],
        "tokenizer.ggml.token_type": [2, 1],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
    }
    path = whole_file(llama, tmp_path / "m.gguf", lambda d: d.update(said))
    with pytest.raises(CheckpointError, match="has a token that is too long; got 1,025 characters"):
        loaded_decoder(path)


def test_a_tensor_that_is_not_there_is_said(llama: Path, tmp_path: Path) -> None:
    whole_file(llama, tmp_path / "m.gguf", lambda d: d.__setitem__("llama.block_count", 3))
    with pytest.raises(CheckpointError, match="hint: its metadata and the weights belong to diff"):
        loaded_decoder(tmp_path / "m.gguf")


@pytest.mark.filterwarnings("ignore")
def test_fused_tensors_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    referee = next(one for one in READ if one.model_type == "phi3")
    saved(referee, tmp_path)
    model = open_model(converted(tmp_path, tmp_path / "m.gguf", "phi3"))
    read: list[str] = []
    original = GgufFile.float32

    def counted(file: GgufFile, name: str) -> Array:
        read.append(name)
        return original(file, name)

    monkeypatch.setattr(GgufFile, "float32", counted)
    model.architecture.build("m", model.description, TEMPLATE, model.weights(), unrolled=True)
    assert "blk.0.attn_qkv.weight" in read
    assert len(read) == len(set(read))


def test_the_header_is_read_once(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = whole_file(llama, tmp_path / "m.gguf")
    opened: list[Path] = []

    def counted(path: Path) -> GgufFile:
        opened.append(path)
        return open_gguf(path)

    monkeypatch.setattr("inferstack.models.gguf_model.open_gguf", counted)
    assert ist.load(path).generate("the cat", max_tokens=2)
    assert opened == [path]


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "F16", "F32"])
def test_weights_are_counted_as_the_file_stores_them(
    kind: str, llama: Path, tmp_path: Path
) -> None:
    whole_file(llama, tmp_path / "m.gguf")
    file = open_gguf(tmp_path / "m.gguf")
    writer = gguf.GGUFWriter(tmp_path / "small.gguf", "llama")
    for key, value in file.metadata.items():
        if key.startswith("llama."):
            (writer.add_uint32 if isinstance(value, int) else writer.add_float32)(key, value)
    stored = 0
    for name in file.tensors:
        values = file.float32(name)
        # A table of another type than the layers, and one layer of another than the other.
        other = name == "token_embd.weight" or "blk.1.ffn" in name or values.shape[-1] % 32
        own = gguf.GGMLQuantizationType["F16" if other else kind if values.ndim > 1 else "F32"]
        packed = gguf.quants.quantize(values, own)
        writer.add_tensor(name, packed, raw_dtype=own)
        stored += packed.nbytes
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    counted = ist.load(tmp_path / "small.gguf").count(8, phase="decode")
    assert counted.weight_bytes == pytest.approx(stored, rel=0.01)


def merged(text: str, scores: dict[str, float]) -> list[str]:
    """SentencePiece's rule: of all neighbours, the pair whose piece has the best score merges."""
    parts = list(text)
    while True:
        joined = [a + b for a, b in itertools.pairwise(parts)]
        pairs = [(scores[piece], -at) for at, piece in enumerate(joined) if piece in scores]
        if not pairs:
            return parts
        at = -max(pairs)[1]
        parts[at : at + 2] = ["".join(parts[at : at + 2])]


PIECES = ["the", "he", "th", "cat", "at", "ca", "\u2581the", "\u2581t", "\u2581c", "\u2581cat"]


@pytest.mark.parametrize("spaced", [True, False])
def test_pieces_merge_by_their_scores(llama: Path, tmp_path: Path, spaced: bool) -> None:
    letters = ["\u2581", *"abcehst"]
    for seed in range(20):
        generator = np.random.default_rng(seed)
        # Those of one letter are never made by a merge.
        pieces = list(generator.permutation(PIECES))
        scores = {piece: -float(n) for n, piece in enumerate(pieces)}
        words = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(200)), *letters, *pieces]

        said = {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": words,
            "tokenizer.ggml.scores": [scores.get(word, -1e4) for word in words],
            "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 200, *[1] * (len(words) - 203)],
            "tokenizer.ggml.bos_token_id": 1,
        }
        if not spaced:
            said["tokenizer.ggml.add_space_prefix"] = False
        path = whole_file(llama, tmp_path / f"{seed}.gguf", lambda d, s=said: d.update(s))  # type: ignore[misc]
        tokenizer = gguf_tokenizer(open_model(path).file, 264)
        for text in ("the cat", "chat that  hat", "z the"):
            marked = text.replace(" ", "\u2581")
            expected = merged(("\u2581" if spaced else "") + marked, scores)
            ids = tokenizer.encode(text)
            assert ids[0] == 1
            found = [words[n] for n in ids[1:]]
            assert found == [p if p != "z" else "<0x7A>" for p in expected]
            assert tokenizer.decode(ids) == text


@pytest.mark.parametrize(
    ("pre", "pieces"),
    [
        ("gpt-2", ["it", "'s", " 1234", "\n\n", " ok"]),
        ("smollm", ["it", "'s", " ", "1", "2", "3", "4", "\n\n", " ok"]),
        ("llama-bpe", ["it", "'s", " ", "123", "4", "\n\n", " ok"]),
        ("qwen2", ["it", "'s", " ", "1", "2", "3", "4", "\n\n", " ok"]),
    ],
)
def test_text_is_cut_as_the_file_names_it(
    llama: Path, tmp_path: Path, pre: str, pieces: list[str]
) -> None:
    path = whole_file(
        llama, tmp_path / "m.gguf", lambda data: data.__setitem__("tokenizer.ggml.pre", pre)
    )
    tokenizer = gguf_tokenizer(open_model(path).file, 264)
    text = "".join(pieces)
    cut = tokenizer.tokenizer.pre_tokenizer.pre_tokenize_str(text)
    assert [text[begin:end] for _, (begin, end) in cut] == pieces
    assert (tokenizer.encode("a")[0] == 0) is (pre in LLAMA3)
