"""The documents keep what they promise: commands exist, examples run, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from docs.blocks import documents, printed, renewed, steps, workplace

import inferstack as ist
from inferstack.cli.main import main
from inferstack.cli.verbs import discover_verbs

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = documents()
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def named(path: Path) -> str:
    """A document as the repository calls it."""
    return str(path.relative_to(REPOSITORY))


def runs_a_checkpoint(path: Path) -> bool:
    """Whether the Python of a document is about a checkpoint's weights."""
    found = steps(path.read_text(encoding="utf-8"))
    return any(step.is_python and step.needs_weights for step in found)


def inferstack_commands() -> list[list[str]]:
    """The words after `inferstack` of every such command in any document."""
    found = [step for path in DOCUMENTS for step in steps(path.read_text(encoding="utf-8"))]
    return [step.words[1:] for step in found if step.is_ours and not step.is_python]


def test_readme_gives_the_two_commands() -> None:
    assert {"make demo", "make test"} <= {step.source for step in steps(README)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
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


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, id=named(path), marks=pytest.mark.slow if runs_a_checkpoint(path) else ()
        )
        for path in DOCUMENTS
    ],
)
def test_blocks_do_what_they_show(path: Path, request: pytest.FixtureRequest) -> None:
    """Runs a document from top to bottom; what needs a checkpoint runs in the tutorial alone."""
    whole = runs_a_checkpoint(path)
    if whole:
        request.getfixturevalue("sample_folder")
    names: dict[str, Any] = {"__name__": "document"}
    with workplace():
        for step in steps(path.read_text(encoding="utf-8")):
            if step.is_ours and (whole or not step.needs_weights):
                out = printed(step, names)
                if step.is_compared:
                    assert out == step.shown, "`python docs/blocks.py` writes today's output"


def test_the_tutorial_goes_from_a_checkpoint_to_a_report() -> None:
    ours = {" ".join(words) for words in inferstack_commands()}
    told = [s.source for s in steps((REPOSITORY / "docs/tutorial.md").read_text(encoding="utf-8"))]
    for verb in ("sample", "analyze", "map", "optimize"):
        assert any(source.startswith(f"inferstack {verb}") for source in told)
    needed = {source for source in ours if "samples/" in source and "optimize" in source}
    assert {f"inferstack {source}" for source in needed} <= set(told), "run in the tutorial"


def test_a_wrong_block_is_found() -> None:
    text = "```console\n$ inferstack analyze bert-base\nwrong\n```\n"
    text += "```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n"
    command, block = steps(text)
    assert (command.words, command.shown) == (["inferstack", "analyze", "bert-base"], "wrong\n")
    assert command.is_compared
    assert block.is_compared
    assert printed(block, {}) == "2\n" != block.shown
    assert "2\n" in renewed(text[text.index("```python") :])
    broken = steps("```console\n$ inferstack analyze bert-bse\n```\n")[0]
    with pytest.raises(AssertionError, match="did you mean 'bert-base'"):
        printed(broken, {})


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_inside_the_repository_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)\s#]+)", text)
    broken = [
        target for target in targets if "://" not in target and not (path.parent / target).exists()
    ]
    assert not broken


def test_the_site_is_built_and_needs_no_network(tmp_path: Path) -> None:
    """Strict: a link or an anchor that leads nowhere fails. No address outside is loaded."""
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path))
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > len(list((REPOSITORY / "docs").rglob("*.md")))
    loads = r"<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^\"' >]+"
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(loads, text), page
    for sheet in tmp_path.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_every_page_has_its_place() -> None:
    """Each page of the site stands in the navigation, and each public name in the reference."""
    config = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {str(p.relative_to(REPOSITORY / "docs")) for p in (REPOSITORY / "docs").rglob("*.md")}
    assert pages == set(re.findall(r"[\w/-]+\.md", config))
    reference = (REPOSITORY / "docs/reference/python.md").read_text(encoding="utf-8")
    for name, home in ist.__dict__["_HOMES"].items():
        assert f"::: {home}.{name}\n" in reference or f"::: {home}\n" in reference, name


def test_pictures_are_small() -> None:
    pictures = [*(REPOSITORY / "docs").rglob("*.png"), *(REPOSITORY / "docs").rglob("*.svg")]
    assert pictures
    assert max(path.stat().st_size for path in pictures) < 300_000


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
