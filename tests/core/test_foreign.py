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


def test_a_model_of_another_tool_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("m.gguf", "m.onnx", "m.pt", "scale.cfg", "gemmini_params.h"):
        text, what = FILES[name]
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert main(["analyze", str(tmp_path / name)]) == 2
        assert what in capsys.readouterr().err
