"""Every file of `examples/` runs by itself, without a warning, and says something."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
RUNS_A_CHECKPOINT = {"embed_sentences", "optimize_a_checkpoint"}
SLOW = RUNS_A_CHECKPOINT | {"map_a_model", "compare_schedules", "save_figures"}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.slow if path.stem in SLOW else ())
        for path in EXAMPLES
    ],
)
def test_an_example_runs(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if path.stem in RUNS_A_CHECKPOINT:
        request.getfixturevalue("sample_folder")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_what_it_shows_and_uses_the_public_names(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    imported = [
        alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names
    ]
    inner = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert "inferstack" in imported
    assert not [name for name in [*imported, *inner] if name and name.startswith("inferstack.")]


def test_there_is_an_example_of_each_thing_that_users_do() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in EXAMPLES)
    for call in (
        *("ist.load(", ".count(", ".with_(", ".map(", "ist.compare(", ".optimize("),
        *(".embed(", ".figure(", ".save_report(", ".save_roofline("),
    ):
        assert call in text, call
