"""`inferstack optimize` as a user calls it: streams, files, exit codes, one message a mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.models.conftest import tiny_bert
from tests.optimize.conftest import SENTENCES

from inferstack.cli.main import main


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model, sentences and pairs."""
    monkeypatch.chdir(tmp_path)
    tiny_bert(tmp_path / "tiny").write()
    (tmp_path / "sentences.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    rows = ["the cat sat\tthe cat ran\t3.5", "a dog\tthe mat\t0", "very far\tvery very far\t4"]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path


GOOD = ["optimize", "tiny", "--seq-len", "16", "--data", "sentences.txt", "--check", "1"]


def test_data_goes_to_stdout_and_narration_to_stderr(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*GOOD, "--eval", "pairs.tsv", "--report", "report.html"]) == 0
    shown = capsys.readouterr()
    assert "fused schedule" in shown.out
    assert "Spearman" in shown.out
    assert "wrote report.html: the report" in shown.err
    assert (place / "optimized" / "tiny" / "model.safetensors").is_file()
    page = (place / "report.html").read_text(encoding="utf-8")
    assert "on the way out" in page
    assert 'src="http' not in page


def test_json_is_one_document_with_every_row(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*GOOD, "--format", "json", "--out", "elsewhere", "--quiet"]) == 0
    shown = capsys.readouterr()
    assert not shown.err
    result = json.loads(shown.out)
    assert [decision["name"] for decision in result["decisions"]][-1] == "fused schedule"
    assert result["decisions"][-1]["gain_over_first"]["latency"] > 1
    assert (place / "elsewhere" / "statistics.json").is_file()


def _with(*changes: str) -> list[str]:
    """GOOD with flags set to other values; a flag without a value goes."""
    arguments = list(GOOD)
    for flag, value in zip(changes[::2], changes[1::2], strict=True):
        if flag == "MODEL":
            arguments[1] = value
        elif flag in arguments and not value:
            at = arguments.index(flag)
            del arguments[at : at + 2]
        elif flag in arguments:
            arguments[arguments.index(flag) + 1] = value
        else:
            arguments += [flag, value]
    return arguments


def _nothing(place: Path) -> None:
    """The working folder as it is."""


def _file(name: str, content: bytes) -> Callable[[Path], None]:
    def spoil(place: Path) -> None:
        (place / name).write_bytes(content)

    return spoil


WRONG = {
    "no data": (
        _nothing,
        _with("--data", ""),
        "--data: is missing; need a file of sentences, such as a text with one a line",
    ),
    "no such data": (
        _nothing,
        _with("--data", "none.txt"),
        "none.txt: does not exist; need a text file in UTF-8",
    ),
    "empty data": (
        _file("sentences.txt", b"\n \n"),
        GOOD,
        "sentences.txt: has no sentences; need one sentence per line",
    ),
    "not UTF-8": (
        _file("sentences.txt", b"fine\nna\xefve\n"),
        GOOD,
        "sentences.txt, line 2: is not UTF-8 (byte 7)",
    ),
    "pairs of one column": (
        _file("pairs.tsv", b"one sentence\n"),
        _with("--eval", "pairs.tsv"),
        "pairs.tsv, row 1: has the wrong number of columns; got 1, need 3 separated by tabs",
    ),
    "no such model": (
        _nothing,
        _with("MODEL", "tyni"),
        "tyni: does not exist; need a model folder with config.json, model.safetensors",
    ),
    "unknown accelerator": (
        _nothing,
        _with("--on", "gemini"),
        "--on: unknown accelerator; got 'gemini'\n\nhint: did you mean 'gemmini'?",
    ),
    "accelerator without a file": (
        _nothing,
        _with("--on", "mine.yaml"),
        "mine.yaml: does not exist",
    ),
    "unknown objective": (
        _nothing,
        _with("--objective", "speed"),
        "--objective: unknown objective; got 'speed'",
    ),
    "report in no folder": (
        _nothing,
        _with("--report", "none/report.html"),
        "--report none/report.html: the folder none does not exist",
    ),
    "out inside a file": (
        _nothing,
        _with("--out", "sentences.txt/deep/er"),
        "/sentences.txt is a file; need a folder, made if need be",
    ),
    "out is a file": (
        _nothing,
        _with("--out", "sentences.txt"),
        "--out sentences.txt: is a file; need a folder, made if need be",
    ),
    "out is the model, before the data is read": (
        _nothing,
        _with("--out", "tiny", "--data", "none.txt"),
        "--out tiny: lies in the folder of the model, which would be overwritten",
    ),
    "out holds the model": (
        _nothing,
        _with("--out", "."),
        "--out .: holds the folder of the model, beside which nothing is written",
    ),
    "too long": (
        _nothing,
        _with("--seq-len", "21"),
        "need at most 20",
    ),
    "no tokens": (
        _nothing,
        _with("--seq-len", "0"),
        "--seq-len: makes no sense; got 0, need a whole number from 1 to 16,777,216",
    ),
    "negative tokens": (
        _nothing,
        _with("--seq-len", "-4"),
        "--seq-len: makes no sense; got -4, need a whole number from 1 to 16,777,216",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_has_one_message_and_exit_code_2(
    name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, arguments, message = WRONG[name]
    spoil(place)
    before = sorted(place.iterdir())
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("error:") == 1
    assert "Traceback" not in shown.err
    assert not shown.out
    assert sorted(place.iterdir()) == before, "nothing is left behind"


def test_what_does_not_fit_exits_with_1(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "small.yaml").write_text(
        "extends: gemmini\nname: small\nlevels:\n  accumulator: {capacity_bytes: [1 KiB, survey]}\n"
    )
    assert main(_with("--on", "small.yaml")) == 1
    shown = capsys.readouterr()
    assert "\ninfeasible: accumulator of small" in shown.err
    assert "hint:" in shown.err
