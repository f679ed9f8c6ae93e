"""Say what is installed here: versions, extras, cores, memory."""

from __future__ import annotations

import os
import platform
import sys
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Annotated, Any

import typer

from inferstack import __version__
from inferstack.cli.console import session_of


class Format(StrEnum):
    """How the answer is written."""

    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Adds `inferstack doctor`."""

    @app.command()
    def doctor(
        context: typer.Context,
        form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    ) -> None:
        """Say what is installed here: versions, extras, cores, memory.

        A package that an extra needs and that is missing is shown with the line that installs it.
        """
        session = session_of(context)
        found = examine()
        if form is Format.JSON:
            session.show_json(found)
        else:
            session.show(_table(found))


def examine() -> dict[str, Any]:
    """Versions by package (None where missing), extras by package, and the machine."""
    packages: dict[str, str | None] = {}
    extras: dict[str, str] = {}
    for requirement in requires("inferstack") or []:
        specification, _, marker = requirement.partition(";")
        name = _name(specification)
        packages[name] = _version(name)
        if "extra ==" in marker:
            extras.setdefault(name, marker.split("==")[1].strip(" '\""))
    return {
        "inferstack_version": __version__,
        "python_version": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_bytes": _memory_bytes(),
        "packages": packages,
        "extras": extras,
    }


def _name(specification: str) -> str:
    end = next((i for i, c in enumerate(specification) if c in "<>=!~[ ("), len(specification))
    return specification[:end]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _table(found: dict[str, Any]) -> Any:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    memory = found["memory_bytes"]
    machine = f"{found['platform']}, {found['cores']} cores"
    machine += f", {memory / 2**30:.1f} GiB of memory" if memory else ""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("package", "version", "for"):
        table.add_column(name)
    for package, installed in found["packages"].items():
        extra = found["extras"].get(package)
        what = f"extra {extra}" if extra else "core"
        if installed is None:
            what += f": pip install 'inferstack[{extra}]'" if extra else ": install again"
        table.add_row(package, installed or "missing", Text(what))
    head = f"inferstack {found['inferstack_version']}, Python {found['python_version']}\n{machine}"
    return Group(Text(head), table)
