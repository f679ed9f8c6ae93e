"""`inferstack map` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inferstack.cli.main import main

SMALL = ["map", "minilm-l6", "--seq-len", "16"]


@pytest.mark.slow
def test_a_table_and_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "--objective", "energy", "--out", "made/here"]) == 0
    shown = capsys.readouterr()
    assert "minilm-l6 on peers-target, schedules of least energy" in shown.out
    assert "proven optimal for energy over 524,288 partitions" in shown.out
    assert "wrote made/here/map.html" in shown.err
    page = (tmp_path / "made/here/map.html").read_text(encoding="utf-8")
    assert "scratchpad holds" in page
    assert 'src="http' not in page
    plan = json.loads((tmp_path / "made/here/plan.json").read_text(encoding="utf-8"))
    assert sum(row["times"] * row["cycles"] for row in plan["rows"]) == plan["totals"]["cycles"]
    assert plan["totals"]["energy_pj"] < plan["unfused"]["energy_pj"]


def test_unfused_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--no-fuse", "--format", "json", "--quiet"]) == 0
    shown = capsys.readouterr()
    assert not shown.err
    plan = json.loads(shown.out)
    assert all(len(group) == 1 for row in plan["rows"] for group in row["groups"])
    assert plan["totals"] == plan["unfused"]
    matmuls = [row for row in plan["rows"] if row["macs"]]
    assert sum(row["times"] for row in matmuls) == 6 * 8
    assert all(row["cycles"] >= row["bound_cycles"] for row in plan["rows"])
    assert all(row["dram_bytes"] >= row["compulsory_dram_bytes"] for row in plan["rows"])


WRONG = {
    "unknown model": (["map", "bert-bse"], "MODEL: unknown model; got 'bert-bse'"),
    "unknown accelerator": ([*SMALL, "--on", "tpu-v9"], "--on: unknown accelerator; got 'tpu-v9'"),
    "unknown objective": (
        [*SMALL, "--objective", "time"],
        "--objective: unknown objective; got 'time'",
    ),
    "no tokens": (["map", "bert-base", "--seq-len", "0"], "--seq-len: makes no sense; got 0"),
    "negative": (["map", "bert-base", "--seq-len", "-5"], "--seq-len: makes no sense; got -5"),
    "absurd": (["map", "bert-base", "--seq-len", "999999999999"], "--seq-len: makes no sense"),
    "fractional": (
        ["map", "bert-base", "--seq-len", "1.5"],
        "Invalid value for '--seq-len': Input should be a valid integer",
    ),
    "many passes": (
        ["map", "gpt2", "--phase", "generate"],
        "--phase generate: is many passes of different shapes; need one of encode, prefill, decode",
    ),
    "a phase of others": (["map", "bert-base", "--phase", "decode"], "bert-base does not decode"),
    "tokens of an image": (["map", "resnet50", "--seq-len", "4"], "resnet50 sees images"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_has_one_message_and_exit_code_2(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, message = WRONG[name]
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert message in " ".join(shown.err.split())
    assert "Traceback" not in shown.err
    assert not shown.out


def test_an_accelerator_on_which_nothing_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(
        "extends: peers-target\nname: small\n"
        "levels:\n  accumulator: {capacity_bytes: [64, common]}\n"
    )
    assert main([*SMALL, "--on", str(file)]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("infeasible: accumulator of small")
    assert "hint:" in shown.err
