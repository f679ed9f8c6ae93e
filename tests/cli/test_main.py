"""The one boundary: exit codes, messages without tracebacks, data on stdout and nothing else."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inferstack import __version__
from inferstack.cli.console import Session
from inferstack.cli.main import GUIDE, main
from inferstack.cli.verbs import discover_verbs
from inferstack.core.errors import CheckFailedError, InputError, MissingExtraError
from inferstack.core.infeasible import Infeasible

Run = Callable[..., int]
COMMAND = (sys.executable, "-m", "inferstack")
VERBS = [verb.name for verb in discover_verbs()]


def raising(error: BaseException) -> Callable[[Session], None]:
    """A verb that raises."""

    def play(session: Session) -> None:
        raise error

    return play


def test_version_is_instant() -> None:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert done.stdout == f"inferstack {__version__}\n"
    assert not done.stderr
    assert statistics.median(seconds) < 0.3


def test_version_stands_after_other_flags_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quiet", "--version"]) == 0
    assert capsys.readouterr().out == f"inferstack {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_guide_lists_every_verb(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert not shown.err
    listed = re.findall(r"^  ([\w-]+) {2,}\S", shown.out.partition("Commands:")[2], re.MULTILINE)
    assert listed == VERBS
    assert "..." not in shown.out.partition("Commands:")[2], "a summary is too long for its line"


def test_the_guide_shows_commands_that_exist() -> None:
    examples = re.findall(r"^  inferstack ([\w-]+)", GUIDE, re.MULTILINE)
    assert examples
    assert set(examples) <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    shown = capsys.readouterr()
    summary = next(v.summary for v in discover_verbs() if v.name == verb)
    assert " ".join(shown.out.split()).find(summary.rstrip(".")) > 0, "the two summaries differ"
    assert not shown.err


def test_a_module_with_register_is_a_verb_and_helpers_are_not(tmp_path: Path) -> None:
    (tmp_path / "so_what.py").write_text('"""Say so.\n\nMore."""\ndef register(app): ...\n')
    (tmp_path / "helper.py").write_text('"""Help."""\ndef other(): ...\n')
    verbs = discover_verbs(tmp_path)
    assert [(verb.name, verb.summary) for verb in verbs] == [("so-what", "Say so.")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimise"], "No such command 'optimise'."),
        (["doctr"], "Did you mean 'doctor'?"),
        (["doctor", "--formt", "json"], "No such option: --formt"),
        (["doctor", "--format", "xml"], "'xml' is not one of 'table', 'json'"),
        (["doctor", "more"], "(more)"),
        (["--"], "Missing command"),
        (["play", "--count", "many"], "Invalid value for '--count'"),
    ],
)
def test_misuse_exits_with_2_and_says_why(
    arguments: list[str], message: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(lambda session: None, *arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert not shown.out


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            InputError("model/config.json", "no such key", got="{}", need="hidden_size"),
            2,
            "error: model/config.json: no such key; got {}, need hidden_size\n",
        ),
        (
            MissingExtraError("optimize", "torch", "torch"),
            2,
            "error: optimize: the package 'torch' is not installed\n\nhint: pip install",
        ),
        (CheckFailedError("layer0", "differs"), 1, "error: layer0: differs\n"),
        (
            MemoryError("Unable to allocate 9.1 TiB"),
            1,
            "error: out of memory: Unable to allocate 9.1 TiB\n\nhint: a shorter --seq-len",
        ),
        (MemoryError(), 1, "error: out of memory: no more memory could be had\n"),
        (
            PermissionError(13, "Permission denied", "a.json"),
            2,
            "error: a.json: Permission denied\n",
        ),
        (OSError(28, "No space left on device"), 2, "error: the operating system: No space left"),
        (KeyboardInterrupt(), 130, "interrupted: no file was finished\n"),
    ],
)
def test_errors_end_in_one_message(
    error: BaseException, code: int, message: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(raising(error)) == code
    shown = capsys.readouterr()
    assert shown.err.startswith(message)
    assert "Traceback" not in shown.err
    assert not shown.out


def test_debug_shows_the_traceback_of_a_wrong_input(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(raising(InputError("here", "wrong")), "play", "--debug") == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("error: here: wrong\n")


def test_a_bug_writes_its_traceback_to_a_file(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(ZeroDivisionError("half of nothing"))) == 70
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: a bug in inferstack {__version__}, not in your input: ")
    assert "ZeroDivisionError: half of nothing" in shown
    assert "Traceback" not in shown
    match = re.search(r"the traceback is in (\S+);", shown)
    assert match
    file = Path(match.group(1))
    text = file.read_text(encoding="utf-8")
    file.unlink()
    assert text.startswith("Traceback")
    assert "ZeroDivisionError: half of nothing" in text


def test_a_bug_with_debug_leaves_no_file(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(ZeroDivisionError("oh")), "--debug", "play") == 70
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "the traceback is in" not in shown


def test_an_interrupted_verb_says_what_is_kept(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    def play(session: Session) -> None:
        session.wrote(Path("out/model.json"), "the model")
        raise KeyboardInterrupt

    assert run(play) == 130
    assert capsys.readouterr().err.endswith(
        "interrupted: these files are complete and kept: out/model.json\n"
    )


def test_infeasible_is_exit_code_1(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Infeasible(
        resource="accumulator", demand=2048, limit=1024, unit="bytes", levers=("grow it",)
    )
    assert run(lambda session: session.infeasible(outcome)) == 1
    assert capsys.readouterr().err == (
        "infeasible: accumulator: does not fit; got a demand of 2,048 bytes, need at most 1,024 "
        "bytes\n\nhint: grow it\n"
    )


@pytest.mark.parametrize("arguments", [["--quiet", "play"], ["play", "--quiet"]])
def test_quiet_stands_anywhere(
    arguments: list[str], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    def play(session: Session) -> None:
        session.narrate("working")
        session.show_json({"cosine": 0.99, "ü": [1, None]})

    assert run(play, *arguments) == 0
    shown = capsys.readouterr()
    assert not shown.err
    assert json.loads(shown.out) == {"cosine": 0.99, "ü": [1, None]}


def test_a_word_after_two_dashes_is_no_flag(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda session: session.narrate("working"), "play", "--", "--quiet") == 2
    assert "(--quiet)" in capsys.readouterr().err


def test_json_never_holds_what_json_has_not(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda session: session.show_json(float("nan")), "--debug", "play") == 70
    shown = capsys.readouterr()
    assert not shown.out
    assert "Out of range float values are not JSON compliant" in shown.err


def test_progress_is_silent_where_stderr_is_no_terminal(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    def play(session: Session) -> None:
        with session.progress() as report:
            report("calibrating", 1, 2)

    assert run(play) == 0
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        """Always."""
        return True


@pytest.mark.parametrize(("quiet", "shown"), [(False, True), (True, False)])
def test_progress_is_shown_in_a_terminal(
    quiet: bool, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Session(quiet=quiet).progress() as report:
        report("calibrating", 128, 256)
    assert ("calibrating" in terminal.getvalue()) is shown


def test_a_reader_that_leaves_early_gets_what_a_shell_says_of_sigpipe() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "doctor"], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert done.returncode == 128 + signal.SIGPIPE
    assert not done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "doctor"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "error: the operating system: No space left on device\n"


@pytest.mark.parametrize(("asked", "threads"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "2"}, "2")])
def test_numpy_multiplies_on_one_thread_unless_asked(asked: dict[str, str], threads: str) -> None:
    code = (
        "import os, sys; from inferstack.cli.main import main; main(['doctor']); "
        "assert 'numpy' not in sys.modules; print(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"} | asked
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == threads


def test_doctor_answers_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--format", "json"]) == 0
    shown = capsys.readouterr()
    found: dict[str, Any] = json.loads(shown.out)
    assert not shown.err
    assert found["inferstack_version"] == __version__
    assert found["packages"]["numpy"]
    assert found["extras"]["torch"] == "torch"
    assert found["cores"] >= 1


def test_doctor_says_how_to_install_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from inferstack.api import doctor

    monkeypatch.setattr(doctor, "requires", lambda _: ['no-such-thing>=1; extra == "onnx"'])
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert re.search(
        r"no-such-thing\s+missing\s+extra onnx: pip install 'inferstack\[onnx\]'", shown
    )
