"""Another tool's file is named as what it is, wherever it is handed in, with what to do instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferstack.cli.main import main
from inferstack.core.foreign import recognised

FILES = {
    "problem.yaml": ("problem:\n  shape: {name: gemm}\n", "a problem of Timeloop"),
    "arch.yaml": ("architecture:\n  version: 0.4\n", "an architecture of Timeloop"),
    "map.yaml": ("mapping:\n- {target: DRAM, type: temporal}\n", "a mapping of Timeloop"),
    "zigzag.yaml": ('- {name: default, spatial_mapping: {D1: ["K, 32"]}}\n', "a mapping of ZigZag"),
    "hw.yaml": ("name: tpu\noperational_array:\n  unit_energy: 1\n", "an accelerator of ZigZag"),
    "net.yaml": ("- id: 0\n  operator_type: Conv\n", "a workload of ZigZag"),
    "scale.cfg": ("[general]\nrun_name = x\n", "a configuration of SCALE-Sim"),
    "net.csv": ("Layer, M, N, K,\nqk, 1, 1, 1,\n", "a topology of SCALE-Sim"),
    "gemmini_params.h": ("#ifndef GEMMINI_PARAMS_H\n#define DIM 16\n", "Gemmini's header"),
    "m.gguf": ("GGUF\x03", "a GGUF model"),
    "m.onnx": ("\x08\x08", "an ONNX model"),
    "m.pt": ("PK\x03\x04", "a zip archive, such as a PyTorch checkpoint"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_named_as_what_it_is(tmp_path: Path, name: str) -> None:
    text, what = FILES[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = recognised(tmp_path / name)
    assert found is not None
    assert found.what.startswith(what)
    assert found.instead


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".yaml")])
def test_no_flag_takes_it_for_its_own(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, what = FILES[name]
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    asked = [["map", "--score", str(path)], ["map", "minilm-l6", "--on", str(path)]]
    for one in asked:
        assert main(one) == 2
        said = capsys.readouterr().err
        if name == "hw.yaml" and "--on" in one:
            continue  # it has a name, as ours do: its unknown keys are named
        assert what in said, one


@pytest.mark.parametrize("name", ["m.gguf", "m.onnx", "m.pt", "scale.cfg", "gemmini_params.h"])
def test_a_file_that_is_no_yaml_is_named_before_it_is_parsed(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, what = FILES[name]
    path = tmp_path / f"{name}.yaml" if name != "m.onnx" else tmp_path / name
    path.write_text(text, encoding="utf-8")
    for one in (["map", "--score", str(path)], ["map", "minilm-l6", "--on", str(path)]):
        assert main(one) == 2
        said = capsys.readouterr().err
        assert what in said
        assert "not YAML" not in said


def test_words_inside_of_a_machine_do_not_make_it_another_tools(tmp_path: Path) -> None:
    """A description may speak of layers and of Gemmini's header."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "extends: gemmini\nname: mine\ndescription: >\n  made for one\n  layer, not more,\n"
        "  see GEMMINI_PARAMS_H\n",
        encoding="utf-8",
    )
    found = recognised(path)
    assert found is None or found.is_yaml
    assert main(["map", "--layer", "matmul:m=8,k=8,n=8", "--on", str(path)]) == 0


def test_no_hint_stands_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(FILES["map.yaml"][0], encoding="utf-8")
    assert main(["map", "--score", str(path)]) == 2
    assert capsys.readouterr().err.count("map MODEL --out FOLDER") == 1


def test_a_model_of_another_tool_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("m.pt", "scale.cfg", "gemmini_params.h"):
        text, what = FILES[name]
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert main(["analyze", str(tmp_path / name)]) == 2
        assert what in capsys.readouterr().err
