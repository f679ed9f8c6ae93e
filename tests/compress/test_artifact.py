"""Saved models come back bit-equal; damaged ones are refused with one clear message."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file

from inferstack.compress.artifact import load, save
from inferstack.compress.calibration import Calibration
from inferstack.compress.method import method
from inferstack.core.errors import CheckpointError
from inferstack.ir.graph import Graph, TensorRole
from inferstack.ops.execute import execute

Feeds = Mapping[str, npt.NDArray[Any]]


@pytest.fixture(params=["integer-only", "int8-float"])
def compressed(request: pytest.FixtureRequest, tiny: Graph, calibration: Calibration) -> Graph:
    return method(request.param).apply(tiny, calibration)


def test_a_roundtrip_executes_bit_equal(compressed: Graph, feeds: Feeds, tmp_path: Path) -> None:
    save(compressed, tmp_path)
    loaded = load(tmp_path)
    before, after = execute(compressed, feeds, keep=True), execute(loaded, feeds, keep=True)
    assert list(before) == list(after)
    for name, values in before.items():
        assert values.dtype == after[name].dtype
        assert np.array_equal(values, after[name]), name


def test_a_roundtrip_keeps_everything(compressed: Graph, tmp_path: Path) -> None:
    save(compressed, tmp_path)
    loaded = load(tmp_path)
    assert (loaded.name, loaded.inputs, loaded.outputs) == (
        compressed.name,
        compressed.inputs,
        compressed.outputs,
    )
    for ours, theirs in zip(compressed.operators, loaded.operators, strict=True):
        assert (ours.name, ours.kind, ours.output, ours.part) == (
            theirs.name,
            theirs.kind,
            theirs.output,
            theirs.part,
        )
        assert dict(ours.inputs) == dict(theirs.inputs)
        assert dict(ours.attributes) == dict(theirs.attributes)
        assert [type(v) for v in ours.attributes.values()] == [
            type(v) for v in theirs.attributes.values()
        ]
    for name, tensor in compressed.tensors.items():
        other = loaded.tensors[name]
        assert (tensor.shape, tensor.dtype, tensor.role) == (other.shape, other.dtype, other.role)
        assert (tensor.scale is None) == (other.scale is None)
        if tensor.scale is not None and other.scale is not None:
            assert np.array_equal(tensor.scale, other.scale)


def test_the_same_graph_gives_the_same_bytes(compressed: Graph, tmp_path: Path) -> None:
    first, second = save(compressed, tmp_path / "a"), save(compressed, tmp_path / "b")
    for left, right in zip(first, second, strict=True):
        assert left.read_bytes() == right.read_bytes()


def test_files_are_replaced_whole_and_are_as_readable_as_any(
    compressed: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.write_text("")
    paths = save(compressed, tmp_path / "model")
    before = [path.read_bytes() for path in paths]
    assert {path.stat().st_mode for path in paths} == {other.stat().st_mode}

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    smaller = dataclasses.replace(compressed, name="another")
    with pytest.raises(KeyboardInterrupt):
        save(smaller, tmp_path / "model")
    assert [path.read_bytes() for path in paths] == before
    assert sorted(path.name for path in paths[0].parent.iterdir()) == [
        "graph.json",
        "model.safetensors",
    ]


Record = dict[str, Any]


def edited(change: Callable[[Record], object]) -> Callable[[Path], None]:
    """A damage to graph.json."""

    def damage(folder: Path) -> None:
        path = folder / "graph.json"
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))

    return damage


def revalued(change: Callable[[dict[str, npt.NDArray[Any]]], object]) -> Callable[[Path], None]:
    """A damage to model.safetensors."""

    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        values = load_file(path)
        change(values)
        save_file(values, path)

    return damage


def tensor(record: Record, name: str) -> Record:
    found: Record = next(item for item in record["tensors"] if item["name"] == name)
    return found


def operator(record: Record, name: str) -> Record:
    found: Record = next(item for item in record["operators"] if item["name"] == name)
    return found


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no structure": (lambda f: (f / "graph.json").unlink(), r"graph\.json: cannot be read"),
    "no values": (
        lambda f: (f / "model.safetensors").unlink(),
        r"model\.safetensors: cannot be read",
    ),
    "not JSON": (lambda f: (f / "graph.json").write_text("{"), "is not JSON: "),
    "not UTF-8": (lambda f: (f / "graph.json").write_bytes(b"\xff\xfe"), "is not UTF-8 text"),
    "deep JSON": (lambda f: (f / "graph.json").write_text("[" * 10**6), "is not JSON that can"),
    "a key twice": (
        lambda f: (f / "graph.json").write_text('{"format": 1, "format": 2}'),
        "names the key 'format' twice",
    ),
    "another file": (lambda f: (f / "graph.json").write_text("[]"), "is not a graph of ours"),
    "another version": (edited(lambda r: r.update(version=99)), "has another version; got 99"),
    "an older version": (edited(lambda r: r.update(version=1)), "make it again with inferstack"),
    "an unknown key": (edited(lambda r: r.update(extra=1)), "extra: unknown key"),
    "a text for a number": (
        edited(lambda r: tensor(r, "embedding.word").update(shape=["50", 32])),
        r"tensors\.\d+\.shape\.0: wrong kind of value",
    ),
    "a negative size": (
        edited(lambda r: tensor(r, "embedding.word").update(shape=[-50, 32])),
        "out of range; got -50, need at least 1",
    ),
    "an absurd size": (
        edited(lambda r: tensor(r, "embedding.word").update(shape=[2**40, 2**40])),
        "tensor embedding.word is absurdly large",
    ),
    "another size": (
        edited(lambda r: tensor(r, "embedding.word").update(shape=[32, 50])),
        "tensor embedding.word has another shape or type than graph.json says",
    ),
    "another type": (
        edited(lambda r: tensor(r, "embedding.word").update(dtype="int16")),
        "tensor embedding.word has another shape or type",
    ),
    "an unknown type": (
        edited(lambda r: tensor(r, "embedding.word").update(dtype="int7")),
        "dtype: not what can stand here; got 'int7'",
    ),
    "a scale of zero": (
        edited(lambda r: tensor(r, "layer0.softmax").update(scale=0.0)),
        "need more than 0",
    ),
    "too many scales": (
        edited(lambda r: tensor(r, "embedding.word").update(scale=[1.0, 2.0])),
        "tensor embedding.word has the wrong number of scales",
    ),
    "an unknown tensor": (
        edited(lambda r: operator(r, "layer0.gelu")["inputs"].update(x="nowhere")),
        "operator layer0.gelu names a tensor that is not there: nowhere",
    ),
    "an unknown kind": (
        edited(lambda r: operator(r, "layer0.gelu").update(kind="gelo")),
        "breaks a rule: .*unknown operator kind",
    ),
    "another order": (
        edited(lambda r: r["operators"].reverse()),
        "breaks a rule: .* before it is written",
    ),
    "a missing input": (
        edited(lambda r: r.update(inputs=["ids"])),
        "inputs are not the tensors of role input",
    ),
    "a tensor twice": (
        edited(lambda r: r["tensors"].append(tensor(r, "ids"))),
        "tensor ids is declared twice",
    ),
    "no output": (edited(lambda r: r.update(outputs=[])), "outputs: too short or too long"),
    "values cut off": (
        lambda f: (f / "model.safetensors").write_bytes(
            (f / "model.safetensors").read_bytes()[:-100]
        ),
        r"model\.safetensors: is truncated",
    ),
    "a tensor missing": (
        revalued(lambda v: v.pop("embedding.word")),
        "tensor embedding.word is missing",
    ),
    "a tensor more": (
        revalued(lambda v: v.update(more=np.zeros(3, dtype=np.int8))),
        "holds tensors that the graph does not have; got \\['more'\\]",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_refused_by_name(
    name: str, tiny: Graph, calibration: Calibration, tmp_path: Path
) -> None:
    damage, message = DAMAGES[name]
    save(method("integer-only").apply(tiny, calibration), tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


def test_values_that_are_not_numbers_are_refused(
    tiny: Graph, calibration: Calibration, tmp_path: Path
) -> None:
    save(method("int8-float").apply(tiny, calibration), tmp_path)
    revalued(lambda v: v["embedding.word"].fill(np.nan))(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"tensor embedding\.word has values that are not finite"
    ):
        load(tmp_path)


def test_what_is_read_may_be_written_over(tiny: Graph, tmp_path: Path) -> None:
    paths = save(tiny, tmp_path)
    before = [path.read_bytes() for path in paths]
    save(load(tmp_path), tmp_path)
    assert [path.read_bytes() for path in paths] == before


def test_a_folder_that_cannot_be_made_is_an_error(tiny: Graph, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save(tiny, tmp_path / "file" / "folder")


def test_dequantized_weights_are_the_float_weights_within_half_a_step(
    compressed: Graph, tiny: Graph, tmp_path: Path
) -> None:
    """real = row_scale * scale * integer, of every integer weight that is written."""
    save(compressed, tmp_path)
    loaded = load(tmp_path)
    checked = 0
    for name, tensor in loaded.tensors.items():
        if tensor.role is not TensorRole.WEIGHT or not tensor.dtype.is_integer:
            continue
        real = tiny.tensors[name.partition(":")[0]].data
        assert real is not None
        assert tensor.data is not None
        assert tensor.scale is not None
        step = np.broadcast_to(tensor.scale, tensor.shape)
        if tensor.row_scale is not None:
            step = step * tensor.row_scale[:, None]
        error = np.abs(step * tensor.data - np.asarray(real, dtype=np.float64))
        assert (error <= step * 0.5000001).all(), name
        checked += 1
    matmuls = [operator for operator in loaded.operators if operator.kind == "matmul"]
    assert checked >= 2 * len(matmuls) > 0
