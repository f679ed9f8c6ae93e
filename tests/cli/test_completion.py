"""Shell completion: names are completed by the shells' own protocol, without heavy modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import inferstack as ist
from inferstack.cli.main import main

CASES = [
    ("inferstack map --on gemmini-i", ["gemmini-ibert", "gemmini-ibert-256-64"]),
    ("inferstack map bert-", ["bert-base", "bert-large"]),
    ("inferstack map --objective e", ["energy", "edp"]),
    ("inferstack map --export t", ["timeloop"]),
    ("inferstack analyze gpt2-l", ["gpt2-large"]),
    ("inferstack analyze bert-base --convention s", ["survey"]),
    ("inferstack analyze bert-base --by o", ["operator"]),
    ("inferstack optimize samples/x --on simb", ["simba"]),
    ("inferstack opt", ["optimize"]),
    ("inferstack map nothing-like-it", []),
]


def complete(line: str, shell: str, code: str) -> subprocess.CompletedProcess[str]:
    """What the shell's function runs for the line so far."""
    environment = {**os.environ, "_INFERSTACK_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        environment |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    else:
        environment |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("line", "names", "shell"),
    [(*case, "bash") for case in CASES] + [(*CASES[0], "zsh"), (*CASES[0], "fish")],
)
def test_names_are_completed(line: str, names: list[str], shell: str) -> None:
    done = complete(
        line, shell, "import sys; from inferstack.cli.main import main; sys.exit(main())"
    )
    assert not done.stderr
    assert done.returncode == 0
    assert all(name in done.stdout for name in names)
    if shell == "bash":
        assert done.stdout.split() == names


def test_no_heavy_module_is_loaded_for_a_name() -> None:
    code = "import atexit, sys\n"
    code += "heavy = {'numpy', 'numba', 'plotly', 'tokenizers', 'torch'}\n"
    code += "atexit.register(lambda: print(*heavy & set(sys.modules), file=sys.stderr, end=''))\n"
    code += "from inferstack.cli.main import main; sys.exit(main())"
    for line in ("inferstack map --on ge", "inferstack map be", "inferstack map --objective e"):
        done = complete(line, "bash", code)
        assert done.stdout
        assert not done.stderr


def test_the_script_for_a_shell_is_shown(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    assert main(["--show-completion", "bash"]) == 0
    assert "_INFERSTACK_COMPLETE=complete_bash" in capfd.readouterr().out


def test_a_shell_is_set_up(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"
    command = (sys.executable, "-m", "inferstack", "--install-completion", "bash")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "completion installed in" in done.stdout
    script = tmp_path / ".bash_completions" / "inferstack.sh"
    assert "_INFERSTACK_COMPLETE" in script.read_text(encoding="utf-8")
    assert str(script) in (tmp_path / ".bashrc").read_text(encoding="utf-8")


def test_names_that_are_completed_exist() -> None:
    for name in ist.machine_names():
        assert ist.machine(name).name == name
    for name in ist.model_names():
        assert ist.load(name).name == name
