"""The documents keep what they promise: commands exist, examples run, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from inferstack.cli.main import main
from inferstack.cli.verbs import discover_verbs

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), REPOSITORY / "data/README.md"]
)
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """Lines after a `$ ` prompt, with their continuations joined."""
    joined = [block.replace("\\\n", " ") for block in blocks(text, "console")]
    return [line[2:] for block in joined for line in block.splitlines() if line.startswith("$ ")]


def inferstack_commands() -> list[list[str]]:
    """The words after `inferstack` of every such command in any document."""
    words = [
        shlex.split(command)
        for path in DOCUMENTS
        for command in commands(path.read_text(encoding="utf-8"))
    ]
    return [rest for first, *rest in words if first.endswith("inferstack")]


def test_readme_gives_the_two_commands() -> None:
    assert {"make demo", "make test"} <= set(commands(README))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_exists(path: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w./-]+):", makefile, flags=re.MULTILINE))
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^\$ )make ([\w./-]+)", text, flags=re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("words", inferstack_commands(), ids=shlex.join)
def test_every_command_and_its_flags_exist(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    verb = next((word for word in words if not word.startswith("-")), None)
    if verb is not None:
        assert verb in {known.name for known in discover_verbs()}
    assert main([*([verb] if verb else []), "--help"]) == 0
    known_flags = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    assert flags <= known_flags | {"--quiet", "--debug"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_examples_run(path: Path, tmp_path: Path) -> None:
    for example in blocks(path.read_text(encoding="utf-8"), "python"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", example],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_inside_the_repository_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)\s#]+)", text)
    broken = [
        target for target in targets if "://" not in target and not (path.parent / target).exists()
    ]
    assert not broken


def test_ci_runs_what_readme_says() -> None:
    script = REPOSITORY / ".ci" / "run"
    assert script.stat().st_mode & 0o111, "not executable"
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "exec make test"


def test_the_license_is_whole() -> None:
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    headings = re.findall(r"^   (\d)\. \w", text, flags=re.MULTILINE)
    assert headings == [str(number) for number in range(1, 10)]
    assert "END OF TERMS AND CONDITIONS" in text
    assert "APPENDIX: How to apply the Apache License to your work." in text


def test_sample_texts_can_be_read_as_they_are_described() -> None:
    sentences = (REPOSITORY / "data/sentences.txt").read_bytes().decode("utf-8").split("\n")
    assert sentences.pop() == ""
    assert len(set(sentences)) == len(sentences) == 311
    assert all(sentence == sentence.strip() and sentence for sentence in sentences)
    rows = (REPOSITORY / "data/pairs.tsv").read_bytes().decode("utf-8").split("\n")
    assert rows.pop() == ""
    assert len(rows) == 60
    for row in rows:
        first, second, score = row.split("\t")
        assert first
        assert second
        assert 0 <= float(score) <= 5
    described = (REPOSITORY / "data/README.md").read_text(encoding="utf-8")
    assert "| 311 English" in described
    assert "| 60 pairs" in described
