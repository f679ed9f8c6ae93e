"""`inferstack map` as a user calls it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from inferstack.cli.main import main
from inferstack.schedule.store import APPLICATION_ID

SMALL = ["map", "minilm-l6", "--seq-len", "16"]
UNPROVEN = ["map", "minilm-l6", "--seq-len", "100", "--no-fuse", "--on", "simba"]


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


@pytest.mark.slow
def test_workers_and_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    plans = []
    for more in ([], ["--workers", "2"]):
        assert main([*SMALL, "--no-fuse", "--format", "json", "--quiet", *more]) == 0
        plans.append(capsys.readouterr().out)
    assert plans[0] == plans[1]
    assert main([*UNPROVEN, "--budget", "0"]) == 0
    shown = capsys.readouterr().out
    assert "searches were stopped; the best that was found, the optimum of each at most" in shown
    assert main([*SMALL, "--no-fuse", "--quiet"]) == 0
    assert "proven optimal for edp, every operator on its own" in capsys.readouterr().out


def test_perfect_factors_are_another_space(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for more in ([], ["--perfect"]):
        assert main([*SMALL, "--no-fuse", "--format", "json", "--quiet", *more]) == 0
        found.append(json.loads(capsys.readouterr().out))
    said = [
        [
            kernel["certificate"].split("any steps ")[1]
            for row in plan["rows"]
            for kernel in row["kernels"]
            if kernel["certificate"] is not None
        ]
        for plan in found
    ]
    assert len(said[0]) == len(said[1]) > 0
    assert all(text.startswith("nested in each other") for text in said[0])
    assert all(text.startswith("that divide") for text in said[1])
    pairs = zip(found[0]["rows"], found[1]["rows"], strict=True)
    assert all(any_["energy_pj"] * any_["cycles"] <= perfect["energy_pj"] * perfect["cycles"]
               for any_, perfect in pairs)  # fmt: skip


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


MAPPING = """\
operator: proj
accelerator: peers-target
contraction:
  dims: {m: 512, n: 768, k: 768}
  reductions: [k]
  operands:
  - {slot: a, role: input, bits: 8, indices: [{terms: {m: 1}}, {terms: {k: 1}}]}
  - {slot: b, role: weight, bits: 8, indices: [{terms: {k: 1}}, {terms: {n: 1}}]}
  - {slot: out, role: output, bits: 8, indices: [{terms: {m: 1}}, {terms: {n: 1}}]}
nest:
- {loop: m, step: 256}
- {store: a, level: scratchpad}
- {loop: n, step: 16}
- {store: b, level: scratchpad}
- {store: out, level: accumulator}
- {loop: k, step: 16}
- {loop: m, step: 1}
- {spatial: k, extent: 16, axis: row}
- {spatial: n, extent: 16, axis: column}
"""
"""The best mapping of the peers' projection, written by hand: 395.58 uJ."""


def test_a_mapping_by_hand_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "proj.yaml"
    file.write_text(MAPPING)
    assert main(["map", "--score", str(file)]) == 0
    shown = capsys.readouterr()
    assert "scratchpad holds a: 256 x 768, 192.0 KiB" in shown.out
    assert "1,179,648 cycles" in shown.out
    assert main(["map", "--score", str(file), "--format", "json"]) == 0
    cost = json.loads(capsys.readouterr().out)
    assert cost["energy_pj"] == pytest.approx(395.58e6, rel=2e-5)
    assert cost["bound_by"] == "array"


WRONG_MAPPINGS = {
    "a dimension that it does not have": ("loop: k, step: 16", "loop: q, step: 16", "dimension"),
    "factors that do not cover": ("- {loop: m, step: 1}\n", "", "do not cover the dimension m"),
    "over the array": ("extent: 16, axis: row", "extent: 32, axis: row", "over the array"),
    "a tile over the capacity": ("loop: m, step: 256", "loop: m, step: 512", "does not fit"),
    "a level that does not hold it": (
        "store: a, level: scratchpad",
        "store: a, level: accumulator",
        "does not hold the input",
    ),
    "a level that is not there": ("level: accumulator", "level: acumulator", "unknown level"),
    "a machine that is not there": (
        "accelerator: peers-target",
        "accelerator: peers-traget",
        "did you mean 'peers-target'",
    ),
    "no size": ("dims: {m: 512,", "dims: {m: 0,", "dims"),
    "a fractional size": ("dims: {m: 512,", "dims: {m: 51.2,", "dims"),
    "not YAML": ("nest:", "nest: [", "not YAML"),
}


@pytest.mark.parametrize("name", WRONG_MAPPINGS)
def test_a_wrong_mapping_says_what_is_wrong(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, message = WRONG_MAPPINGS[name]
    assert old in MAPPING
    file = tmp_path / "proj.yaml"
    file.write_text(MAPPING.replace(old, new, 1))
    assert main(["map", "--score", str(file)]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("error:") == 1
    assert not shown.out


def test_flags_that_need_something(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["map"]) == 2
    assert "MODEL: is missing; need a model's name or folder, a file of" in capsys.readouterr().err
    assert main([*SMALL, "--export", "accelforge"]) == 2
    assert "--export: needs a folder to write to" in capsys.readouterr().err
    assert main([*SMALL, "--export", "acelforge", "--out", str(tmp_path / "out")]) == 2
    assert "did you mean 'accelforge'" in capsys.readouterr().err


def test_a_store_of_a_newer_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "optima.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 99")
    assert main([*SMALL, "--store", str(file)]) == 2
    assert "was written by a newer version of inferstack" in capsys.readouterr().err


@pytest.mark.slow
def test_exports_and_a_store_that_makes_the_second_run_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, store = tmp_path / "out", tmp_path / "optima.sqlite"
    plain = [*SMALL, "--no-fuse", "--store", str(store), "--format", "json"]
    assert main([*plain, "--out", str(out), "--export", "accelforge"]) == 0
    first = capsys.readouterr().out
    assert list((out / "accelforge").rglob("*.yaml"))
    for file in sorted((out / "mappings").iterdir()):
        assert main(["map", "--score", str(file), "--format", "json"]) == 0
        json.loads(capsys.readouterr().out)
    assert main(plain) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("mask", [(), ("--mask", "causal"), ("--mask", "full")])
def test_a_mapped_prompt_says_that_masked_pairs_are_computed(
    mask: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--phase", "prefill", "--seq-len", "8", "--no-fuse", "--perfect"]
    assert main(["map", "gpt2", *flags, *mask]) == 0
    assert "mask: full (schedules walk rectangles" in capsys.readouterr().out
    assert main(["map", "gpt2", *flags, *mask, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mask"] == "full"
    assert "schedules walk rectangles" in found["notes"][0]


def test_an_encoder_has_no_causal_mask(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("map", "analyze"):
        assert main([verb, "bert-base", "--seq-len", "8", "--mask", "causal"]) == 2
        assert "--mask causal: bert-base attends to all tokens" in capsys.readouterr().err
