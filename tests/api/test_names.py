"""`import inferstack as ist`: light, typed, complete."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import inferstack as ist

PACKAGE = Path(ist.__file__).parent


def test_importing_takes_less_than_a_tenth_of_a_second() -> None:
    code = "import time; a = time.process_time(); import inferstack; "
    code += "print(time.process_time() - a)"
    spent = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(spent) < 0.1


@pytest.mark.parametrize("name", ist.__all__)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    found = getattr(ist, name)
    assert name in dir(ist)
    if name != "__version__":
        assert found.__doc__
        assert found.__module__ == ist.__dict__["_HOMES"][name]


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    seen = {
        alias.asname: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == ist.__dict__["_HOMES"]
    assert (PACKAGE / "py.typed").is_file()


def test_what_does_not_exist_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ist.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_no_name_hides_a_folder_of_the_package() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert not folders & set(ist.__all__)
