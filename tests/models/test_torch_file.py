"""pytorch_model.bin as data: values as torch has them, and nothing of it is ever run."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inferstack.core.errors import CheckpointError
from inferstack.models.hugging_face import load_graph
from inferstack.models.scenario import Scenario
from inferstack.models.torch_file import open_torch
from inferstack.ops.execute import execute

from .dense_decoders import VOCABULARY
from .referees import REFEREES, saved


class Runs:
    """A pickle that would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def packed(path: Path, content: object) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
    return path


def test_tensors_are_those_of_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {
        "plain": torch.randn(3, 4),
        "half": torch.randn(5).half(),
        "brain": torch.randn(2, 2).bfloat16(),
        "view": torch.randn(4, 6)[1:3, ::2],
        "turned": torch.randn(4, 6).T,
        "wide": torch.randn(2, 3, dtype=torch.float64),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "empty": torch.randn(0, 3),
    }
    shared = torch.randn(4)
    tensors |= {"one": shared, "other": shared}
    path = tmp_path / "pytorch_model.bin"
    for content in (tensors, OrderedDict(tensors), {"state_dict": tensors, "epoch": 3}):
        torch.save(content, path)
        found = open_torch(path)
        assert set(found.tensors) == set(tensors)
        for name, values in tensors.items():
            assert found.tensors[name].shape == tuple(values.shape)
            np.testing.assert_array_equal(found.float32(name), values.detach().float().numpy())


def test_a_folder_with_torchs_file_gives_the_same_as_with_safetensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    referee = next(one for one in REFEREES if one.model_type == "gpt2")
    model = saved(referee, tmp_path)
    ids = np.random.default_rng(1).integers(2, VOCABULARY, (1, 5))
    scenario = Scenario.prefill(5)
    expected = execute(load_graph(tmp_path, scenario)[0], {"ids": ids})["logits"]
    (tmp_path / "model.safetensors").unlink()
    state = model.state_dict()
    torch.save(state, tmp_path / "pytorch_model.bin")
    found = execute(load_graph(tmp_path, scenario)[0], {"ids": ids})["logits"]
    np.testing.assert_array_equal(found, expected)
    # Several files with an index.
    (tmp_path / "pytorch_model.bin").unlink()
    names = sorted(state)
    places: dict[str, str] = {}
    for part, own in enumerate((names[::2], names[1::2])):
        torch.save({name: state[name] for name in own}, tmp_path / f"part{part}.bin")
        places |= dict.fromkeys(own, f"part{part}.bin")
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    found = execute(load_graph(tmp_path, scenario)[0], {"ids": ids})["logits"]
    np.testing.assert_array_equal(found, expected)


def test_nothing_is_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    path = packed(tmp_path / "pytorch_model.bin", {"weight": Runs(trap)})
    with pytest.raises(CheckpointError, match="would call something; got posix system"):
        open_torch(path)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds no dict of tensors"),
        ({"weight": {1, 2}}, "would call something"),
        ({"weight": b"bytes"}, "would call something"),
        ({}, "holds no dict of tensors"),
    ],
)
def test_what_is_no_dict_of_tensors_is_refused(
    content: object, message: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        open_torch(packed(tmp_path / "pytorch_model.bin", content))


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (b"\x80\x02)Na.", "is damaged; got AttributeError"),
        (b"\x80\x02(K\x01K\x02K\x03K\x04K\x05tQ.", "is damaged; got AttributeError"),
    ],
)
def test_a_pickle_of_the_wrong_things_is_one_error(
    pickled: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
    with pytest.raises(CheckpointError, match=message):
        open_torch(path)


def test_few_bytes_do_not_become_many(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "pytorch_model.bin"
    torch.save({"weight": torch.zeros(1).expand(2**20, 2**20)}, path)
    with pytest.raises(CheckpointError, match="does not lie inside of its storage"):
        open_torch(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(2**20))
    with pytest.raises(CheckpointError, match="is compressed"):
        open_torch(path)


def test_a_view_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "pytorch_model.bin"
    torch.save({"weight": torch.randn(2, 3)}, path)
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    (pickled,) = (name for name in content if name.endswith("/data.pkl"))
    # The shape (2, 3) as (9, 3), and a storage of fewer bytes.
    longer = content[pickled].replace(b"K\x00K\x02K\x03\x86", b"K\x00K\x09K\x03\x86")
    assert longer != content[pickled]
    for changed, message in (
        ({pickled: longer}, "does not lie inside of its storage"),
        ({pickled.replace("data.pkl", "data/0"): b"1234"}, "has fewer bytes than it says"),
        ({pickled: content[pickled][:40]}, "is damaged|has no end"),
    ):
        with zipfile.ZipFile(path, "w") as file:
            for name, raw in {**content, **changed}.items():
                file.writestr(name, raw)
        with pytest.raises(CheckpointError, match=message):
            open_torch(path).float32("weight")
    path.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(CheckpointError, match=r"since version 1\.6"):
        open_torch(path)
