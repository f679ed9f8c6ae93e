"""No message shows the checker's own words: every reader of a file takes them from one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inferstack.core.errors import InferStackError
from inferstack.mapping.group_file import load_group
from inferstack.mapping.mapping_file import load_mapping, mapping_text
from inferstack.mapping.nest import Loop, Mapping
from inferstack.mapping.shapes import matmul

WORDS = re.compile(
    r"Input should|Field required|[Ii]nstance of|Extra inputs|_\w+File|pydantic|validation"
)
GOOD = mapping_text(
    Mapping(operator="a", accelerator="peers-target", nodes=(Loop("m", 1),)), matmul(m=2, n=2, k=2)
)


@pytest.mark.parametrize(
    "old", ["operator: a", "dims:", "role: input", "bits: 8", "nest:", "loop: m", "reductions:"]
)
@pytest.mark.parametrize("new", ["x: 1", "{}", "[1, 2]", "", "~: 3"])
def test_a_broken_mapping_file_is_explained_in_our_words(
    tmp_path: Path, old: str, new: str
) -> None:
    path = tmp_path / "m.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InferStackError) as caught:
        load_mapping(path)
    assert not WORDS.search(str(caught.value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("group: [a]\n", "accelerator: missing"),
        ("group: 3\n", "group: wrong kind of value; got 3, need a list"),
        ("group: [a]\naccelerator: b\ntile: {rows: 1, by_heads: true}\n", "tile.by_head"),
    ],
)
def test_a_broken_group_file_is_explained_in_our_words(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InferStackError) as caught:
        load_group(path)
    assert message in str(caught.value)
    assert not WORDS.search(str(caught.value))
