"""No file that is changed at random gives anything but a result or one message."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

KINDS = 14
COUNT = 100


@pytest.mark.slow
def test_hostile_files_give_a_result_or_one_message(repository: Path) -> None:
    program = repository / "benchmarks" / "hostile_files.py"
    done = subprocess.run(
        [sys.executable, str(program), "--count", str(COUNT), "--seed", "7"],
        capture_output=True, text=True,
    )  # fmt: skip
    printed = json.loads(done.stdout.splitlines()[-1])
    assert printed["faults"] == 0, done.stdout
    assert done.returncode == 0, done.stderr
    assert len(printed["kinds"]) == KINDS
    for name, kind in printed["kinds"].items():
        assert kind["accepted"] + kind["refused"] == COUNT
        # Most mutants are wrong; if all were refused, nothing but a form would have been tried.
        assert kind["refused"] > COUNT / 3, name
        assert kind["accepted"] > 0, name
        assert kind["misspelt_refused"] > 0 or name == "parameters"
