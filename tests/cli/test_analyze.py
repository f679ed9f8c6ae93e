"""`inferstack analyze`: what it prints, in each format, and what it says to wrong input."""

from __future__ import annotations

import csv
import io
import json
import re
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from inferstack.cli.analyze import read_lengths
from inferstack.cli.main import main

Capture = pytest.CaptureFixture[str]


def answer(capsys: Capture, *arguments: str) -> str:
    assert main(["analyze", *arguments]) == 0
    return capsys.readouterr().out


def as_json(capsys: Capture, *arguments: str) -> dict[str, Any]:
    content = json.loads(answer(capsys, *arguments, "--format", "json"))
    assert isinstance(content, dict)
    return content


def test_bert_large_takes_less_than_a_second_with_the_start_of_python() -> None:
    """Of processor time: what else runs on this machine does not count, and nothing waits."""

    def spent_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    seconds = []
    for _ in range(3):
        start = spent_s()
        command = (sys.executable, "-m", "inferstack", "analyze", "bert-large")
        subprocess.run(command, capture_output=True, check=True)
        seconds.append(spent_s() - start)
    assert min(seconds) < 1


def test_nothing_heavy_is_imported_for_a_table() -> None:
    heavy = {"numpy", "numba", "plotly", "tokenizers", "yaml", "torch"}
    code = "import sys; from inferstack.cli.main import main; main(['analyze', 'bert-large']); "
    code += f"print(*sorted(set(sys.modules) & {heavy!r}), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""


def test_a_mixture_says_what_it_assumes(capsys: Capture) -> None:
    said = "balanced experts, each with as many tokens as any other"
    assert f"assumed: {said}." in answer(capsys, "mixtral-8x7b", "--seq-len", "8")
    assert as_json(capsys, "mixtral-8x7b", "--seq-len", "8")["assumptions"] == [said]
    assert as_json(capsys, "gpt2", "--seq-len", "8")["assumptions"] == []


def test_the_table_shows_table_3_of_the_survey(capsys: Capture) -> None:
    shown = answer(capsys, "bert-base", "--seq-len", "128", "--convention", "survey")
    lines = {" ".join(line.split()) for line in shown.splitlines()}
    assert "128 attention projection 7.25 G 32.3 37.7 MB 26.9 192.00" in lines
    assert "total 22.4 G 140 MB 159.68" in lines
    assert max(map(len, shown.splitlines())) <= 120


@pytest.mark.parametrize(
    "arguments",
    [
        ("gpt2", "--seq-len", "128,1024", "--on", "survey-analytic", "--by", "kind"),
        ("llama-3-70b", "--phase", "decode", "--on", "gemmini"),
        ("resnet50", "--on", "survey-analytic", "--by", "kind"),
        ("bert-large", "--seq-len", "16777216", "--batch", "64"),
    ],
)
@pytest.mark.parametrize("width", [80, 100])
def test_tables_fit_into_80_columns(
    width: int, arguments: tuple[str, ...], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = answer(capsys, *arguments)
    monkeypatch.setattr("inferstack.cli.console.REDIRECTED_COLUMNS", width)
    shown = answer(capsys, *arguments)
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= width
    assert "…" not in shown
    assert Counter(re.findall(r"[\d,.]+", shown)) == Counter(re.findall(r"[\d,.]+", wide))


def test_json_holds_totals_parts_kinds_operators_and_footprint(capsys: Capture) -> None:
    content = as_json(capsys, "gpt2", "--seq-len", "128,512", "--convention", "survey")
    assert (content["model"], content["phase"], content["batch"]) == ("gpt2", "generate", 1)
    assert [w["seq_len"] for w in content["workloads"]] == [128, 512]
    first = content["workloads"][0]
    for group in ("parts", "kinds"):
        assert sum(part["flops"] for part in first[group].values()) == first["flops"]
    assert sum(item["traffic_bytes"] for item in first["operators"]) == first["traffic_bytes"]
    assert first["footprint"]["cache_bytes"] == 2 * 12 * 768 * 128
    assert first["modelled_cycles"] is None


def test_json_on_a_machine_gives_figure_32(capsys: Capture) -> None:
    flags = ("--convention", "survey", "--on", "survey-analytic", "--seq-len", "128")
    encoder = as_json(capsys, "bert-base", *flags)
    decoder = as_json(capsys, "gpt2", *flags)
    assert encoder["accelerator"]["balance_flops_per_byte"] == 8
    ratio = decoder["workloads"][0]["modelled_cycles"] / encoder["workloads"][0]["modelled_cycles"]
    assert ratio == pytest.approx(18, rel=0.01)


def test_csv_has_a_line_per_part_and_a_total(capsys: Capture) -> None:
    shown = answer(capsys, "bert-base", "--seq-len", "128,4096", "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(shown)))
    assert [line["part"] for line in lines if line["size"] == "4096"] == [
        *("embedding", "attention projection", "attention", "feed-forward", "other", "total")
    ]
    total = int(lines[-1]["flops"])
    assert total == sum(int(line["flops"]) for line in lines[6:-1])
    assert int(lines[-1]["weight_bytes"]) > 400e6


def test_the_element_type_scales_bytes_not_operations(capsys: Capture) -> None:
    usual = as_json(capsys, "llama-3-8b", "--phase", "decode")["workloads"][0]
    half = as_json(capsys, "llama-3-8b", "--phase", "decode", "--dtype", "bfloat16")["workloads"][0]
    assert half["flops"] == usual["flops"]
    assert 2 * half["footprint"]["weight_bytes"] == usual["footprint"]["weight_bytes"]
    assert half["footprint"]["weight_bytes"] == 2 * 8_030_261_248


def test_a_folder_needs_config_json_alone(capsys: Capture, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    config = {
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "n_embd": 768,
        "n_head": 12,
        "n_layer": 12,
        "vocab_size": 50257,
        "n_positions": 1024,
        "layer_norm_epsilon": 1e-5,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    content = as_json(capsys, str(folder))
    assert content["model"] == "mine"
    assert content["workloads"] == as_json(capsys, "gpt2")["workloads"]


def test_lengths_beyond_the_positions_are_counted_and_said(capsys: Capture) -> None:
    assert main(["analyze", "bert-base", "--seq-len", "512,4096"]) == 0
    said = capsys.readouterr().err
    assert said == "bert-base has positions for 512 tokens; counted as if for 4,096 too\n"


def test_an_image_size_instead_of_a_length(capsys: Capture) -> None:
    small, usual = (
        as_json(capsys, "resnet50", *flags)["workloads"][0]
        for flags in (("--image-size", "64"), ())
    )
    assert (small["image_size"], usual["image_size"], usual["seq_len"]) == (64, 224, None)
    assert small["flops"] < usual["flops"] / 10


def test_a_roofline_is_one_page_without_a_network(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "roofline.html"
    flags = ("--seq-len", "128,512", "--roofline", str(path), "--on", "gemmini")
    assert main(["analyze", "bert-base", *flags]) == 0
    assert f"wrote {path}: the roofline on gemmini" in capsys.readouterr().err
    text = path.read_text(encoding="utf-8")
    assert "roof of gemmini" in text
    assert "attention projection" in text
    assert "moves once, in int8" in text
    assert 'src="http' not in text


@pytest.mark.parametrize(
    ("text", "lengths"),
    [("128", (128,)), ("128,512, 4096", (128, 512, 4096)), ("8,8,4", (8, 4)), ("007", (7,))],
)
def test_lengths_are_read(text: str, lengths: tuple[int, ...]) -> None:
    assert read_lengths(text) == lengths


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["brt-base"], "MODEL: unknown model; got 'brt-base'\n\nhint: did you mean 'bert-base'?"),
        (["./nowhere"], "nowhere: does not exist"),
        (["bert-base", "--seq-len", "many"], "--seq-len many: is no list of sequence lengths"),
        (["bert-base", "--seq-len", ""], "is no list of sequence lengths; got ''"),
        (["bert-base", "--seq-len", "128,,512"], "is no list of sequence lengths; got ''"),
        (["bert-base", "--seq-len", "1e3"], "got '1e3', need whole numbers of tokens"),
        (["bert-base", "--seq-len", "-5"], "got '-5', need whole numbers of tokens"),
        (["bert-base", "--seq-len", "٣"], "is no list of sequence lengths"),
        (["bert-base", "--seq-len", "9" * 5000], "is no list of sequence lengths"),
        (["bert-base", "--seq-len", ",".join(map(str, range(1, 90)))], "too many lengths; got 89"),
        (["bert-base", "--seq-len", "0"], "--seq-len: makes no sense; got 0, need a whole number"),
        (["bert-base", "--seq-len", "99999999999"], "got 99,999,999,999, need a whole number from"),
        (["bert-base", "--batch", "0"], "--batch: makes no sense; got 0"),
        (["bert-base", "--batch", "-1"], "--batch: makes no sense; got -1"),
        (["bert-base", "--phase", "decode"], "--phase decode: bert-base does not decode; need one"),
        (["gpt2", "--phase", "encode"], "need one of generate, prefill, decode"),
        (["gpt2", "--phase", "train"], "'train' is not one of"),
        (["bert-base", "--dtype", "int8", "--convention", "survey"], "one byte per element"),
        (["b" * 300], "MODEL: unknown model"),
        ([""], "MODEL: unknown model"),
        (["bert-base", "--convention", "exakt"], "did you mean 'exact'?"),
        (["bert-base", "--image-size", "224"], "bert-base sees tokens, not images"),
        (["resnet50", "--seq-len", "128"], "resnet50 sees images, not sequences\n\nhint: leave"),
        (["resnet50", "--image-size", "-1"], "image size: makes no sense; got -1"),
        (["resnet50", "--image-size", "100"], "need a multiple of 32"),
        (["bert-base", "--on", "gemini"], "did you mean 'gemmini'?"),
        (["bert-base", "--roofline", "no/such/folder/r.html"], "folder no/such/folder does not"),
    ],
)
def test_wrong_input_gives_one_message(arguments: list[str], message: str, capsys: Capture) -> None:
    assert main(["analyze", *arguments]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert not shown.out
    assert "Traceback" not in shown.err
