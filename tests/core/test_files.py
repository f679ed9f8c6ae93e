"""What is not ours stays: one rule for every writer."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inferstack.cli.main import main
from inferstack.core.errors import InputError
from inferstack.core.files import MARK, PARTIAL, is_ours, move_aside, write_atomically

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


def test_what_a_killed_run_left_goes_with_the_next_write(tmp_path: Path) -> None:
    stale = tmp_path / f".plan.json-abcd_123{PARTIAL}"
    stale.write_text("half of", encoding="utf-8")
    theirs = [f"plan.json{PARTIAL}", f".plan.json{PARTIAL}", ".plan.json-abcd_123", ".x-ABCDEFGH"]
    for name in theirs:
        (tmp_path / name).write_text(THEIRS, encoding="utf-8")
    write_atomically(tmp_path / "other.json", "new")
    assert {p.name for p in tmp_path.iterdir()} == {"other.json", *theirs}


def test_what_another_run_is_writing_stays(tmp_path: Path) -> None:
    live = tmp_path / f".plan.json-abcd_123{PARTIAL}"
    with live.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_atomically(tmp_path / "plan.json", f"# {MARK}")
        assert live.exists()
    write_atomically(tmp_path / "plan.json", f"# {MARK}")
    assert not live.exists()


WRITES_OFTEN = """
import sys
from pathlib import Path
from inferstack.core.files import write_atomically

for number in range(300):
    write_atomically(Path(sys.argv[1]), f"# written by inferstack\\n{sys.argv[2] * 1000}\\n")
"""


def test_two_processes_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITES_OFTEN, str(path), name]) for name in "ab"
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    mark, letters = path.read_text(encoding="utf-8").splitlines()
    assert mark == f"# {MARK}"
    assert letters in ("a" * 1000, "b" * 1000)
    assert [p.name for p in tmp_path.iterdir()] == ["plan.yaml"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plan.yaml"
    write_atomically(path, f"# {MARK}\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == f"# {MARK}\n"
    assert [p.name for p in tmp_path.iterdir()] == ["plan.yaml"]


def test_of_two_that_find_a_damaged_file_one_moves_it(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.write_text("torn", encoding="utf-8")
    (tmp_path / "store-wal").write_text("log", encoding="utf-8")
    (tmp_path / "store.damaged1").write_text("of before", encoding="utf-8")
    (tmp_path / "store.damaged2-wal").write_text("of before", encoding="utf-8")
    seen = path.stat()
    assert move_aside(path, seen, ("", "-wal")) == tmp_path / "store.damaged3"
    assert move_aside(path, seen, ("", "-wal")) is None
    path.write_text("begun anew by the first", encoding="utf-8")
    assert move_aside(path, seen, ("", "-wal")) is None
    assert {p.name: p.read_text(encoding="utf-8") for p in tmp_path.iterdir()} == {
        "store": "begun anew by the first",
        "store.damaged1": "of before",
        "store.damaged2-wal": "of before",
        "store.damaged3": "torn",
        "store.damaged3-wal": "log",
    }
