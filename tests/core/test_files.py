"""What is not ours stays: one rule for every writer."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from inferstack.cli.main import main
from inferstack.core.errors import InputError
from inferstack.core.files import MARK, is_ours, write_atomically

THEIRS = "my notes about inferstack, three weeks of work\n"


def test_a_file_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes.yaml"
    path.write_text(THEIRS, encoding="utf-8")
    with pytest.raises(InputError, match="was not written by inferstack, and stays as it is"):
        write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == THEIRS
    assert [p.name for p in tmp_path.iterdir()] == ["notes.yaml"]


@pytest.mark.parametrize(
    "content",
    [f"# {MARK}\na: 1\n", '{"schema_version": 1, "inferstack_version": "0.1.0"}', "", "x" * 9000
     + "<footer>inferstack 0.1.0</footer>"],
)  # fmt: skip
def test_a_file_of_ours_is_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ours"
    path.write_text(content, encoding="utf-8")
    assert is_ours(path)
    write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "new"


def test_a_link_to_somebody_elses_file_is_not_followed(tmp_path: Path) -> None:
    theirs, link = tmp_path / "theirs", tmp_path / "link"
    theirs.write_text(THEIRS, encoding="utf-8")
    link.symlink_to(theirs)
    with pytest.raises(InputError):
        write_atomically(link, "new")
    assert theirs.read_text(encoding="utf-8") == THEIRS


@pytest.mark.parametrize("name", ["plan.json", "map.html", "mappings/layer0.query.yaml"])
def test_map_refuses_before_it_searches(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(THEIRS, encoding="utf-8")
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    asked = ["map", "--layer", "matmul:m=8,k=8,n=8", "--out", str(tmp_path)]
    assert main(asked) == 2
    assert "was not written by inferstack" in capsys.readouterr().err
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_a_second_run_into_the_same_folder_replaces_its_own_files(tmp_path: Path) -> None:
    asked = ["--quiet", "map", "--layer", "matmul:m=8,k=8,n=8", "--out", str(tmp_path / "m")]
    assert main(asked) == 0
    first = {p: p.read_bytes() for p in (tmp_path / "m").rglob("*") if p.is_file()}
    assert main(asked) == 0
    assert {p: p.read_bytes() for p in (tmp_path / "m").rglob("*") if p.is_file()} == first


def test_a_roofline_is_not_drawn_over_notes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "notes.html"
    path.write_text(THEIRS, encoding="utf-8")
    assert main(["analyze", "minilm-l6", "--roofline", str(path)]) == 2
    assert "stays as it is" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == THEIRS
