"""The verbs of the command line: found by being there, imported only when called.

A verb is a module of this folder with a function `register(app)`; its name is the module's, with
dashes for underscores, and the first line of its docstring is its line in the guide. The module of
a verb that is not called is read, never imported, so that `inferstack --help` stays instant. Verbs
from outside enter through the entry-point group `inferstack.cli`; the entry point is the module.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

STORY = ("doctor", "sample", "analyze", "map", "optimize")
"""The order of a first day; verbs that are not named here follow in the alphabet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A verb that has not been imported. load: imports the module that has `register`."""

    name: str
    summary: str
    load: Callable[[], ModuleType]


def discover_verbs(folder: Path | None = None) -> tuple[Verb, ...]:
    """All verbs in the order of the guide.

    folder: of the package's own verbs, for tests.
    """
    verbs: dict[str, Verb] = {}
    for path in sorted((folder or Path(__file__).parent).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "register" for node in tree.body):
            name = path.stem.replace("_", "-")
            verbs[name] = Verb(name=name, summary=_summary(tree), load=_loader(path.stem))
    for point in _entry_points():
        name = point.name.replace("_", "-")
        summary = f"(from {point.value.split(':')[0]})"
        verbs.setdefault(name, Verb(name=name, summary=summary, load=point.load))
    position = {name: place for place, name in enumerate(STORY)}
    return tuple(sorted(verbs.values(), key=lambda v: (position.get(v.name, len(STORY)), v.name)))


def _entry_points() -> list[EntryPoint]:
    return sorted(entry_points(group="inferstack.cli"), key=lambda point: point.name)


def _summary(tree: ast.Module) -> str:
    return (ast.get_docstring(tree) or "").partition("\n")[0].strip()


def _loader(stem: str) -> Callable[[], ModuleType]:
    return lambda: importlib.import_module(f"inferstack.cli.{stem}")
