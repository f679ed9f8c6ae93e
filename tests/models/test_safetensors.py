"""safetensors without trust: what is damaged is said before anything is allocated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from inferstack.core.errors import CheckpointError
from inferstack.models.hugging_face import load_checkpoint
from inferstack.models.safetensors_file import open_safetensors

from .conftest import Array, TinyCheckpoint

FETCH_AGAIN = "hint: the file is damaged or not a safetensors file; fetch it again"
SMALL: dict[str, Array] = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([1.5, -2.0], dtype=np.float16),
}
Header = dict[str, Any]


def with_header(content: bytes, edit: Callable[[Header], object]) -> bytes:
    """The file with its header edited; the data stays."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    edit(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def message(path: Path, content: bytes) -> str:
    """What the user reads about a file of this content."""
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        open_safetensors(path)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file goes."""
    return tmp_path / "model.safetensors"


def test_what_the_formats_own_library_writes_is_read(path: Path) -> None:
    path.write_bytes(save(SMALL, metadata={"format": "np"}))
    file = open_safetensors(path)
    assert set(file.tensors) == {"a", "b"}
    for name, values in SMALL.items():
        assert np.array_equal(file.float32(name), values)
        assert file.float32(name).dtype == np.float32


def test_bfloat16_is_the_upper_half_of_a_float32(path: Path) -> None:
    values = np.array([1.0, -0.15625, 3.0e38], dtype=np.float32)
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    stored = with_header(save({"a": halves}), lambda h: h["a"].update(dtype="BF16"))
    path.write_bytes(stored)
    expected = (halves.astype(np.uint32) << 16).view(np.float32)
    assert np.array_equal(open_safetensors(path).float32("a"), expected)


@pytest.mark.parametrize("padding", range(4))
def test_tensors_at_odd_places_come_in_whole_words(path: Path, padding: int) -> None:
    content = with_header(save(SMALL), lambda h: h.update(__metadata__={"x": " " * padding}))
    path.write_bytes(content)
    values = open_safetensors(path).float32("a")
    assert values.flags.aligned
    assert np.array_equal(values, SMALL["a"])


def test_a_file_that_is_too_short_is_said(path: Path) -> None:
    assert message(path, b"1234567") == (
        f"{path}: is too short for a safetensors file; got 7 bytes, need 8 bytes\n\n{FETCH_AGAIN}"
    )


@pytest.mark.parametrize("length", [1000, 2**40, 2**64 - 1])
def test_a_wrong_header_length_is_said_before_it_is_allocated(path: Path, length: int) -> None:
    content = length.to_bytes(8, "little") + save(SMALL)[8:]
    assert message(path, content) == (
        f"{path}: has a wrong header length; got a header length of {length:,} bytes, need at "
        f"most {len(content) - 8:,} in this file\n\n{FETCH_AGAIN}"
    )


def test_an_absurd_header_is_refused_even_where_the_file_is_as_long(path: Path) -> None:
    with path.open("wb") as file:
        file.write((200_000_000).to_bytes(8, "little"))
        file.truncate(300_000_000)
    with pytest.raises(CheckpointError, match="need at most 100,000,000 in this file"):
        open_safetensors(path)


def test_a_truncated_file_is_said(path: Path) -> None:
    assert message(path, save(SMALL)[:-1]) == (
        f"{path}: is truncated; got 27 bytes of data, need 28 for tensor b\n\n{FETCH_AGAIN}"
    )


def test_bytes_behind_the_last_tensor_are_said(path: Path) -> None:
    assert message(path, save(SMALL) + b"more") == (
        f"{path}: has bytes behind the last tensor; got 4, need 0\n\n{FETCH_AGAIN}"
    )


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (b"", ", header: is not JSON: Expecting value (line 1, column 1)"),
        (b"[]", ", header: is not a JSON object"),
        (b'{"a": 1, "a": 2}', (", header: names the key 'a' twice\n\n"
         "hint: keep one of the two; the other would be ignored")),
        (b'{"a": 1}', ", tensor a: has no dtype, shape and data_offsets in the header"),
        (b'{"\\u001b[2J\\ud800": 1}', (", tensor \\x1b[2J\\ud800: has no dtype, shape and "
         "data_offsets in the header")),
    ],
)  # fmt: skip
def test_a_wrong_header_is_said(path: Path, header: bytes, what: str) -> None:
    assert message(path, len(header).to_bytes(8, "little") + header) == f"{path}{what}"


KNOWN = (
    "F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, BOOL, C64, F8_E4M3, F8_E5M2, "
    "F8_E8M0, F8_E4M3FNUZ, F8_E5M2FNUZ, F4, F6_E2M3, F6_E3M2"
)


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ({"dtype": "F8_E4M4"}, f"has an unknown dtype; got 'F8_E4M4', need one of {KNOWN}"),
        ({"dtype": 4}, f"has an unknown dtype; got 4, need one of {KNOWN}"),
        ({"shape": [2, -3]}, "has a wrong shape in the header; got [2, -3]"),
        ({"shape": [2, 3.0]}, "has a wrong shape in the header; got [2, 3.0]"),
        ({"shape": [1] * 9}, "has a wrong shape in the header; got [1, 1, 1, 1, 1, 1, 1, 1, 1]"),
        ({"shape": [2**60]}, "has a wrong shape in the header; got [1152921504606846976]"),
        (
            {"shape": [2**48, 2**48]},
            (
                "has another length than its shape; got 24 bytes, need "
                f"{2**98:,} for F32 ({2**48}, {2**48})"
            ),
        ),
        ({"data_offsets": [4]}, "has wrong data_offsets; got [4]"),
        ({"data_offsets": [-4, 20]}, "has wrong data_offsets; got [-4, 20]"),
        (
            {"data_offsets": [24, 0]},
            "has another length than its shape; got -24 bytes, need 24 for F32 (2, 3)",
        ),
    ],
)
def test_a_wrong_entry_is_said(path: Path, entry: Header, what: str) -> None:
    content = with_header(save(SMALL), lambda h: h["a"].update(entry))
    assert message(path, content) == f"{path}, tensor a: {what}"


@pytest.mark.parametrize(("begin", "end"), [(20, 24), (26, 30), (0, 4)])
def test_overlaps_gaps_and_places_beyond_the_end_are_said(path: Path, begin: int, end: int) -> None:
    content = with_header(save(SMALL), lambda h: h["b"].update(data_offsets=[begin, end]))
    wrong = {
        20: "tensor b overlaps another or leaves a gap; got an offset of 20, need 24",
        26: "is truncated; got 28 bytes of data, need 30 for tensor b",
        0: "tensor a overlaps another or leaves a gap; got an offset of 0, need 4",
    }
    assert message(path, content) == f"{path}: {wrong[begin]}\n\n{FETCH_AGAIN}"


WEIGHT = "encoder.layer.0.intermediate.dense.weight"


def loading(tiny: TinyCheckpoint) -> str:
    """What the user reads about the checkpoint."""
    with pytest.raises(CheckpointError) as caught:
        tiny.load()
    return str(caught.value)


def test_a_missing_tensor_is_said(bert: TinyCheckpoint) -> None:
    del bert.tensors[WEIGHT]
    assert loading(bert) == (
        f"{bert.folder}/model.safetensors: lacks the tensor '{WEIGHT}'; got "
        f"{len(bert.tensors)} tensors with other names\n\n"
        "hint: config.json and the weights belong to different models"
    )


def test_another_shape_is_said(bert: TinyCheckpoint) -> None:
    bert.tensors[WEIGHT] = np.ascontiguousarray(bert.tensors[WEIGHT].T)
    assert loading(bert) == (
        f"{bert.folder}/model.safetensors, tensor {WEIGHT}: has another shape than config.json "
        "says; got (32, 48), need (48, 32)"
    )


def test_sizes_that_no_memory_holds_are_compared_before_they_are_allocated(
    bert: TinyCheckpoint,
) -> None:
    bert.config |= {"vocab_size": 2**24, "hidden_size": 2**16, "intermediate_size": 2**20}
    assert loading(bert) == (
        f"{bert.folder}/model.safetensors, tensor embeddings.word_embeddings.weight: has another "
        f"shape than config.json says; got (21, 32), need ({2**24}, {2**16})"
    )


def test_integer_weights_are_refused(bert: TinyCheckpoint) -> None:
    bert.tensors[WEIGHT] = bert.tensors[WEIGHT].astype(np.int8)
    assert loading(bert) == (
        f"{bert.folder}/model.safetensors, tensor {WEIGHT}: weights of this type are not "
        "supported; got I8, need one of F64, F32, F16, BF16, F8_E4M3, F8_E5M2, "
        "F8_E8M0, F8_E4M3FNUZ, F8_E5M2FNUZ\n\n"
        "hint: whole numbers are weights only where quantization_config of config.json says how"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_weights_that_are_not_finite_are_said(bert: TinyCheckpoint, value: float) -> None:
    bert.tensors[WEIGHT] = bert.tensors[WEIGHT].astype(np.float64)
    bert.tensors[WEIGHT][3, 4:6] = value
    assert loading(bert) == (
        f"{bert.folder}/model.safetensors, tensor {WEIGHT}: has values that are not finite; got "
        "2 of 1,536 NaN or infinite\n\n"
        "hint: the checkpoint is damaged or its training diverged; take another one"
    )


def test_a_folder_without_weights_is_said(bert: TinyCheckpoint) -> None:
    folder = bert.write()
    folder.joinpath("model.safetensors").unlink()
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder, seq_len=8)
    need = "model.safetensors or pytorch_model.bin"
    assert str(caught.value) == f"{folder}: has no model.safetensors; need {need}"


@given(st.binary(max_size=64))
def test_any_bytes_as_weights_give_one_message(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "model.safetensors"
    path.write_bytes(content)
    try:
        tensors = open_safetensors(path).tensors
    except CheckpointError:
        return
    assert not tensors


def test_a_tensor_left_out_under_its_alias_is_read(bert: TinyCheckpoint) -> None:
    """safetensors.torch.save_model writes a shared tensor once, the other names as metadata."""
    word, kept = "embeddings.word_embeddings.weight", "lm_head.decoder.weight"
    table = bert.tensors[word]
    bert.tensors[kept] = bert.tensors.pop(word)
    folder = bert.write()
    save_file(bert.tensors, folder / "model.safetensors", metadata={"format": "pt", word: kept})
    graph = load_checkpoint(folder, seq_len=8).graph
    values = graph.tensors["embedding.word"].data
    assert values is not None
    assert np.array_equal(values, table)
