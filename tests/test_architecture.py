"""The house: folders in the order in which the data meets them, no cycles, nothing heavy early."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "inferstack"

HOUSE = (
    "core", "ir", "ops", "models", "analysis", "compress", "generate", "hardware", "mapping",
    "cost", "schedule", "exchange", "simulate", "rtl", "engines", "explore", "nas", "optimize",
    "report", "api", "cli", "testing",
)  # fmt: skip
"""The order of the plan. ARCHITECTURE.md lists those that exist, in this order."""

EXTRAS = frozenset(
    {"torch", "transformers", "onnx", "onnxruntime", "openvino", "jax", "tvm", "tensorflow"}
    | {"tensorrt", "amaranth", "huggingface_hub", "PIL"}
)
"""Optional packages: only ever imported inside the function that needs them."""

HEAVY = (
    "numpy", "numba", "plotly", "tokenizers", "jinja2", "safetensors", "torch", "pydantic", "typer",
    "rich", "yaml",
)  # fmt: skip


def modules() -> dict[str, Path]:
    """Every module of the package by dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[tuple[str, int]]:
    """(imported module of ours, line), wherever in the file it stands, also for typing only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (
                (alias.name, node.lineno)
                for alias in node.names
                if alias.name.split(".")[0] == "inferstack"
            )
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by the full name"
            if node.module and node.module.split(".")[0] == "inferstack":
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield (inner if inner in known else node.module), node.lineno


def folder_of(module: str) -> str | None:
    """The folder of a module of ours; None for the package itself and `__main__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in HOUSE else None


def existing_folders() -> list[str]:
    """The folders that stand, in the order of the house; fails on one that has no place."""
    present = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert present <= set(HOUSE), f"no place in the house for {sorted(present - set(HOUSE))}"
    return [folder for folder in HOUSE if folder in present]


def test_no_folder_imports_a_later_one() -> None:
    known = modules()
    wrong = [
        f"{path.relative_to(REPOSITORY)}:{line}: {source} imports {target}"
        for name, path in known.items()
        for target, line in imports(name, path, known)
        if (source := folder_of(name)) is not None
        and (target_folder := folder_of(target)) is not None
        and HOUSE.index(target_folder) > HOUSE.index(source)
    ]
    assert not wrong, "\n".join(wrong)


def test_only_tests_import_the_conformance_kits() -> None:
    known = modules()
    users = [
        name
        for name, path in known.items()
        if folder_of(name) != "testing"
        and any(folder_of(target) == "testing" for target, _ in imports(name, path, known))
    ]
    assert not users


def test_the_kits_do_not_need_the_command_line() -> None:
    known = modules()
    users = [
        name
        for name, path in known.items()
        if folder_of(name) == "testing"
        and any(folder_of(target) == "cli" for target, _ in imports(name, path, known))
    ]
    assert not users


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules()
    edges = {
        name: sorted({target for target, _ in imports(name, path, known)} - {name})
        for name, path in known.items()
    }
    assert (cycle := find_cycle(edges)) is None, " -> ".join(cycle or ())


def find_cycle(edges: dict[str, list[str]]) -> list[str] | None:
    """A circle in a directed graph, first node repeated at the end; None where there is none."""
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        stack = [(start, iter(edges.get(start, ())))] if start not in done else []
        while stack:
            node, targets = stack[-1]
            if not path or path[-1] != node:
                path.append(node)
            target = next((t for t in targets if t not in done), None)
            if target is None:
                done.add(path.pop())
                stack.pop()
            elif target in path:
                return [*path[path.index(target) :], target]
            else:
                stack.append((target, iter(edges.get(target, ()))))
    return None


def test_the_search_for_circles_finds_one() -> None:
    assert find_cycle({"a": ["b", "c"], "b": ["c"], "c": []}) is None
    assert find_cycle({"a": ["b"], "b": ["d", "c"], "c": ["b"], "d": []}) == ["b", "c", "b"]


def test_the_map_names_every_folder_in_order() -> None:
    text = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE) == existing_folders()


def test_the_map_points_at_files_that_exist() -> None:
    text = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for folder, first in re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", text, flags=re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", first):
            assert (PACKAGE / folder / name).exists(), f"{folder}: {name} is gone"


@pytest.mark.parametrize(
    "statement",
    [
        "import inferstack",
        "from inferstack.cli.main import main; main(['--version'])",
        "import inferstack.core.errors, inferstack.ir.graph",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(statement: str) -> None:
    code = f"import sys; {statement}; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == ""


def test_optional_packages_are_imported_inside_functions_only() -> None:
    wrong = []
    for path in modules().values():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            if any(name.split(".")[0] in EXTRAS for name in names):
                wrong.append(f"{path.relative_to(REPOSITORY)}:{node.lineno}: {', '.join(names)}")
    assert not wrong, "\n".join(wrong)


def test_files_are_short_enough_to_read() -> None:
    long = {
        str(path.relative_to(REPOSITORY)): lines
        for path in modules().values()
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 400
    }
    assert not long, f"look for the seam, or move data to YAML, CSV or npz: {long}"


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(REPOSITORY))
        for path in modules().values()
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent


def test_verbs_are_thin_callers_of_the_api() -> None:
    """The command line parses, calls what `import inferstack` offers, and renders."""
    known, allowed = modules(), {"api", "core", "cli", "report"}
    wrong = [
        f"{path.relative_to(REPOSITORY)}:{line}: imports {target}"
        for name, path in known.items()
        if folder_of(name) == "cli"
        for target, line in imports(name, path, known)
        if (folder := folder_of(target)) is not None and folder not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_every_verb_calls_the_api() -> None:
    for path in (PACKAGE / "cli").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(n, ast.FunctionDef) and n.name == "register" for n in tree.body):
            calls = [
                node
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "ist"
            ]
            assert calls, f"{path.name} does its own work"
