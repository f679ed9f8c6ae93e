"""The figures on the real checkpoint, by the benchmark that prints them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "samples" / "all-MiniLM-L6-v2"
DATA = ROOT.parent / "shared" / "data" / "stsb-ccbysa"


@pytest.mark.slow
def test_minilm_keeps_its_accuracy_in_integers(tmp_path: Path) -> None:
    if not MODEL.exists():
        pytest.skip("the sample checkpoint is not in samples/ (make samples)")
    if not DATA.exists():
        pytest.skip("the evaluation data is not beside the repository")
    lines = (DATA / "sts-dev.tsv").read_text(encoding="utf-8").splitlines()
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("\n".join([lines[0], *lines[1::3]]) + "\n", encoding="utf-8")
    command = [ROOT / "benchmarks" / "accuracy.py", MODEL, pairs, DATA / "sts-train.tsv"]
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["pairs"] == 250
    figures = result["figures"]
    integer = figures["integer-only"]
    assert integer["mean_cosine"] >= 0.985
    assert integer["worst_cosine"] >= 0.96
    assert figures["fp32"]["spearman"] - integer["spearman"] <= 0.01
