"""`inferstack generate` and `inferstack perplexity`: what they print, and how they end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inferstack.api.decoder import loaded_decoder
from inferstack.cli.main import main
from inferstack.testing.checkpoints import tiny_bert, tiny_llama

PROMPT = ("--prompt", "the cat")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("decoder") / "tiny").write()


def test_the_text_goes_to_stdout_and_the_rest_to_stderr(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(folder), *PROMPT, "--max-tokens", "9"]) == 0
    out, err = capsys.readouterr()
    assert out == loaded_decoder(folder).generate("the cat", max_tokens=9) + "\n"
    assert err.startswith("9 tokens behind 6, ")
    assert err.endswith("ended by: length\n")


def test_draws_and_stops_are_those_of_the_library(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = {"max_tokens": 30, "temperature": 1.5, "top_k": 40, "top_p": 0.9, "seed": 7}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in drawn.items()]
    whole = loaded_decoder(folder).generate("the cat", **drawn)  # type: ignore[arg-type]
    assert main(["generate", str(folder), *PROMPT, *flags]) == 0
    assert capsys.readouterr().out == whole + "\n"
    stop = whole[len(whole) // 2]
    assert main(["generate", str(folder), *PROMPT, *flags, "--stop", stop, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out == whole[: whole.index(stop)] + "\n"
    assert not err


@pytest.mark.parametrize(
    "arguments",
    [
        (*PROMPT, "--max-tokens", "0"),
        (*PROMPT, "--temperature", "nan"),
        (*PROMPT, "--top-k", "0"),
        (*PROMPT, "--top-p", "2"),
        (*PROMPT, "--stop", ""),
        (*PROMPT, "--chat"),
        ("--prompt", "x" * 200),
    ],
)
def test_wrong_input_is_one_error(
    folder: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(folder), *arguments]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("error: ")
    assert err.count("error:") == 1


def test_what_is_no_decoder_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = tiny_bert(tmp_path / "bert").write()
    for model in (str(encoder), "gpt2", str(tmp_path / "absent")):
        assert main(["generate", model, *PROMPT]) == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_perplexity_in_words_and_as_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "text.txt"
    data.write_text("the cat sat on the mat. " * 9, encoding="utf-8")
    asked = ["perplexity", str(folder), "--data", str(data), "--window", "32", "--stride", "16"]
    assert main([*asked, "--max-tokens", "90", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = loaded_decoder(folder).perplexity(data, window=32, stride=16, max_tokens=90)
    assert found["perplexity"] == expected.value
    assert (found["scored"], found["tokens"]) == (89, 90)
    assert main([*asked, "--max-tokens", "90"]) == 0
    assert capsys.readouterr().out == (
        f"perplexity {expected.value:.4f} over 89 tokens (windows of 32, stride 16)\n"
    )
    assert main(["perplexity", str(folder), "--data", str(tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_an_interrupted_text_ends_its_line(tmp_path: Path) -> None:
    made = tiny_llama(tmp_path / "long", positions=100_000)
    made.config["eos_token_id"] = None
    folder = made.write()
    flags = ["--max-tokens", "99000", "--temperature", "5", "--top-k", "200"]
    with subprocess.Popen(
        [sys.executable, "-m", "inferstack", "generate", str(folder), *PROMPT, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        begun = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (begun + out).endswith(b"\n")
    assert err == b"interrupted: no file was finished\n"


def test_a_perplexity_beyond_a_float_is_null_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a head that is sure of the wrong token."""
    made = tiny_llama(tmp_path / "sure")
    made.tensors["model.norm.weight"] *= np.float32(1e6)
    data = tmp_path / "text.txt"
    data.write_text("the cat sat on the mat. " * 9, encoding="utf-8")
    asked = ["perplexity", str(made.write()), "--data", str(data)]
    assert main([*asked, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["perplexity"] is None
    assert found["nats"] / found["scored"] > 700
    assert main(asked) == 0
    assert capsys.readouterr().out.startswith("perplexity inf over ")
