"""Group files: what is saved is loaded, and kernels that fit no group are said."""

from __future__ import annotations

from pathlib import Path

import pytest

import inferstack as ist
from inferstack.core.errors import InferStackError


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The group of a product and what follows it."""
    folder = tmp_path_factory.mktemp("group")
    ist.load("minilm-l6").map("peers-target", seq_len=512, perfect=True).save(folder)
    return (folder / "mappings" / "layer0.intermediate.yaml").read_text(encoding="utf-8")


def test_what_is_saved_is_scored(saved: str, tmp_path: Path) -> None:
    path = tmp_path / "g.yaml"
    path.write_text(saved, encoding="utf-8")
    assert ist.load_mapping(path).cycles > 0


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("kind: gelu", "kind: glu", "kernels.1.kind: unknown operator kind; got 'glu'"),
        (
            "    tensor: layer0.attention_norm",
            "    tensor: layer0.gelu",
            "kernels.0.reads: reads what is made later; got layer0.gelu",
        ),
        (
            "  dims: {m: 512, n: 1536, k: 384}\n  reads",
            "  dims: {m: 512, n: 1536, k: 192}\n  reads",
            "kernels.0.contraction.dims: are not the kernel's",
        ),
        (
            "  - slot: a\n    tensor",
            "  - slot: q\n    tensor",
            "kernels.0.contraction: has an operand that the kernel does not read; got a",
        ),
        (
            "layer0.attention_norm: [1, 512, 384]",
            "layer0.attention_norm: [384]",
            "kernels.0, a: has no index for each axis of its tensor; got 2 indices, need 1",
        ),
        (
            "    slot: out\n    tensor: layer0.gelu\n    bits: 8\n    indices:\n    - terms: {",
            "    slot: out\n    tensor: layer0.gelu\n    bits: 8\n    indices:\n    - terms: {} #",
            "kernels.1, out: an axis of a result follows no dimension",
        ),
        (
            "- name: layer0.gelu",
            "- name: layer0.intermediate",
            "kernels: are not those of the group",
        ),
    ],
)
def test_the_message_of_each_mistake(
    saved: str, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in saved
    path = tmp_path / "g.yaml"
    path.write_text(saved.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InferStackError) as error:
        ist.load_mapping(path)
    assert str(error.value).replace(str(path), "").lstrip(", ").startswith(expected)
