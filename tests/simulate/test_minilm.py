"""The real checkpoint on the machine, by the benchmark that prints its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_minilm_is_bit_exact_in_every_tensor(repository: Path, sample_folder: Path) -> None:
    sentences = repository / "data" / "sentences.txt"
    program = repository / "benchmarks" / "simulator.py"
    command = [program, "--model", sample_folder, "--sentences", sentences]
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=True
    )
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["model"]["sentences"] == 100
    assert figures["model"]["tensors_compared"] == 100 * 87
    assert figures["layer"]["tensors_compared"] == 9
    assert figures["layer"]["seconds_time_values_check"] < 30
