"""The figures on the real checkpoint; with scored pairs, by the benchmark that prints them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from inferstack.compress.accuracy import accuracy
from inferstack.compress.calibration import calibrate
from inferstack.compress.method import method
from inferstack.models.data import read_sentences
from inferstack.models.hugging_face import load_checkpoint


@pytest.mark.slow
def test_minilm_keeps_its_accuracy_in_integers(
    repository: Path, sample_folder: Path, scored_pairs: Path, tmp_path: Path
) -> None:
    lines = (scored_pairs / "sts-dev.tsv").read_text(encoding="utf-8").splitlines()
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("\n".join([lines[0], *lines[1::3]]) + "\n", encoding="utf-8")
    command = [
        repository / "benchmarks" / "accuracy.py",
        sample_folder,
        pairs,
        scored_pairs / "sts-train.tsv",
    ]
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["pairs"] == 250
    figures = result["figures"]
    integer = figures["integer-only"]
    assert integer["mean_cosine"] >= 0.995
    assert integer["worst_cosine"] >= 0.97
    assert figures["fp32"]["spearman"] - integer["spearman"] <= 0.01


@pytest.mark.slow
def test_minilm_keeps_its_embeddings_on_the_sentences_of_the_repository(
    repository: Path, sample_folder: Path
) -> None:
    checkpoint = load_checkpoint(sample_folder, seq_len=32)
    sentences = read_sentences(repository / "data" / "sentences.txt")[:160]
    calibrating, measured = sentences[::4], [s for i, s in enumerate(sentences) if i % 4]
    encode = checkpoint.tokenizer.encode
    calibration = calibrate(checkpoint.graph, [encode(calibrating)])
    program = method("integer-only").apply(checkpoint.graph, calibration)
    result = accuracy(checkpoint.graph, program, encode(measured))
    assert result.samples == 120
    assert result.mean_cosine >= 0.996
    assert result.worst_cosine >= 0.98


@pytest.mark.slow
def test_minilm_keeps_its_accuracy_at_every_length(repository: Path, sample_folder: Path) -> None:
    """On texts that fill 128 and 512 tokens; probabilities at 1/127 gave 0.986 and 0.867."""
    command = [
        repository / "benchmarks" / "accuracy_by_length.py",
        sample_folder,
        repository / "data" / "sentences.txt",
        *("--lengths", 128, 512, "--texts", 8),
    ]
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=True
    )
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert [row["tokens"] for row in rows] == [128, 128, 512, 512]
    assert min(row["mean_cosine"] for row in rows) >= 0.99
    assert min(row["worst_cosine"] for row in rows) >= 0.98
