"""Streams that are closed, full or read by nobody: no traceback, an exit code that says so."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = (sys.executable, "-m", "inferstack")
MAP = (*PROGRAM, "map", "--layer", "matmul:m=8,k=8,n=8", "--on", "peers-target")


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """A line of bash; $IST is the program."""
    environment = {**os.environ, "IST": " ".join(PROGRAM)}
    return subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("set -o pipefail; $IST analyze minilm-l6 --seq-len 8 | true", 141),
        ("$IST analyze minilm-l6 --format json --by operator | head -1", 0),
        ("set -o pipefail; $IST analyze minilm-l6 --seq-len 8 | cat", 0),
        ("$IST analyze minilm-l6 --seq-len 8 >&-", 0),
        ("$IST analyze minilm-l6 --seq-len 8 2>&-", 0),
        ("$IST analyze nonesuch 2>&-", 2),
        ("$IST analyze nonesuch 2>/dev/full", 2),
        ("$IST analyze minilm-l6 --seq-len 8 >/dev/full", 2),
        ("$IST --version >/dev/full", 2),
    ],
)
def test_a_closed_or_full_stream_gives_no_traceback(command: str, code: int) -> None:
    done = shell(command)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    told = code == 2 and "2>" not in command
    assert done.stderr.count("error:") == told


def limit_files() -> None:
    """As a disk that is nearly full: no file over 40,000 bytes, a page of HTML not."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))


def test_a_full_disk_takes_no_result_away(tmp_path: Path) -> None:
    done = subprocess.run(
        [*MAP, "--out", "m"], cwd=tmp_path, preexec_fn=limit_files,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.endswith("error: --out m/map.html: cannot be written: File too large\n")
    assert "matmul0" in done.stdout
    assert {path.name for path in tmp_path.rglob("*")} == {"m", "mappings", "plan.json"}


def test_a_store_on_a_full_disk_takes_no_result_away(tmp_path: Path) -> None:
    def no_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = subprocess.run(
        [*MAP, "--store", "kept"], cwd=tmp_path, preexec_fn=no_files,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: --store kept: the store cannot be used; got ")
