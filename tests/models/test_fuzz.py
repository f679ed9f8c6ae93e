"""Whatever a folder holds: a model or one InferStackError comes out, never another failure."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstack.core.errors import InferStackError
from inferstack.models.hugging_face import load_checkpoint

from .conftest import TinyCheckpoint, tiny_bert

NUMBERS = (None, True, -1, 0, 1, 3, 2**32, 2**63, 10**400, 1e308, float("nan"), 1e-5)
TEXTS = ("", "a", "gelu", "[UNK]", "roberta", "gpt2", "llama", "\ud800")
VALUES = st.sampled_from((*NUMBERS, *TEXTS, [], {}, [1], {"a": 1}, [["a", 1]]))
"""What a key may hold instead of its own value."""


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    """A folder that loads."""
    tiny = tiny_bert(tmp_path_factory.mktemp("fuzz") / "tiny")
    tiny.load()
    return tiny


def load_or_refuse(folder: Path) -> None:
    """Loads and tokenizes; a refusal's text can be printed and steers no terminal."""
    text = ""
    try:
        checkpoint = load_checkpoint(folder, seq_len=8)
        checkpoint.tokenizer.encode(["the cat", "", "\u00fc" * 40])
    except InferStackError as failure:
        text = str(failure)
    assert text.replace("\n", "").encode().decode().isprintable()


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys that lead to each part of a JSON value, the value itself left out."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [(*at, key) for key, _ in inner]
    for place in list(found):
        part = value[place[-1]]
        if isinstance(part, dict | list):
            found += places(part, place)
    return found


def changed(content: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """One or two parts of a JSON value removed or replaced."""
    result = copy.deepcopy(content)
    for _ in range(data.draw(st.integers(1, 2))):
        options = places(result)
        if not options:
            break
        *path, key = data.draw(st.sampled_from(options))
        inside: Any = result
        for step in path:
            inside = inside[step]
        if data.draw(st.booleans()):
            inside[key] = copy.deepcopy(data.draw(VALUES))
        else:
            del inside[key]
    return result


def damaged(content: bytes, data: st.DataObject, reach: int) -> bytes:
    """Some bytes of the first `reach` replaced, inserted or removed; or the end cut off."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, min(reach, len(changed))))
        changed[at : at + data.draw(st.integers(0, 4))] = data.draw(
            st.sampled_from([b"", b"0", b"9", b"-", b'"', b"}", b"[", b"e9", b"null", b"\xff"])
            | st.binary(max_size=3)
        )
    if data.draw(st.booleans()):
        del changed[data.draw(st.integers(0, len(changed))) :]
    return bytes(changed)


@given(st.data())
def test_damaged_bytes_give_a_model_or_one_message(
    valid: TinyCheckpoint, data: st.DataObject
) -> None:
    folder = valid.write()
    path = folder / data.draw(st.sampled_from(["config.json", "model.safetensors"]))
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    path.write_bytes(damaged(content, data, min(len(content), header)))
    load_or_refuse(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
@given(data=st.data())
def test_other_values_give_a_model_or_one_message(
    valid: TinyCheckpoint, name: str, data: st.DataObject
) -> None:
    folder = valid.write()
    content = valid.config if name == "config.json" else valid.tokenizer
    folder.joinpath(name).write_text(json.dumps(changed(content, data)), encoding="utf-8")
    load_or_refuse(folder)
