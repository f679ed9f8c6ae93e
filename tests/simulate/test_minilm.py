"""The real checkpoint on the machine, by the benchmark that prints its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "samples" / "all-MiniLM-L6-v2"
SENTENCES = ROOT.parent / "shared" / "data" / "stsb-ccbysa" / "sts-dev.tsv"


@pytest.mark.slow
def test_minilm_is_bit_exact_in_every_tensor() -> None:
    if not (MODEL / "model.safetensors").exists():
        pytest.skip("the sample checkpoint is not in samples/ (make samples)")
    if not SENTENCES.exists():
        pytest.skip("the evaluation data is not beside the repository")
    command = [ROOT / "benchmarks" / "simulator.py", "--model", MODEL, "--sentences", SENTENCES]
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=True
    )
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["model"]["sentences"] == 100
    assert figures["model"]["tensors_compared"] == 100 * 92
    assert figures["layer"]["tensors_compared"] == 9
    assert figures["layer"]["seconds_time_values_check"] < 30
