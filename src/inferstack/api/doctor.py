"""`doctor`: what is installed here: versions, extras, cores, memory."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING

from inferstack import __version__
from inferstack.api.shown import Record, Shown

if TYPE_CHECKING:
    from rich.console import RenderableType


class Installed(Shown):
    """Versions by package (None where missing), extras by package, and the machine."""

    __slots__ = ("_found",)

    def __init__(self, found: Record) -> None:
        self._found = found

    def table(self) -> RenderableType:
        """A row per package; what is missing has the line that installs it."""
        from inferstack.report.doctor import to_table

        return to_table(self._found)

    def to_dict(self) -> Record:
        """Versions by package, extras by package, and the machine."""
        return self._found

    def records(self) -> list[Record]:
        """A row per package."""
        extras = self._found["extras"]
        return [
            {"package": name, "version": version, "extra": extras.get(name)}
            for name, version in self._found["packages"].items()
        ]


def doctor() -> Installed:
    """What is installed here."""
    packages: dict[str, str | None] = {}
    extras: dict[str, str] = {}
    for requirement in requires("inferstack") or []:
        specification, _, marker = requirement.partition(";")
        name = _name(specification)
        packages[name] = _version(name)
        if "extra ==" in marker:
            extras.setdefault(name, marker.split("==")[1].strip(" '\""))
    found = {
        "inferstack_version": __version__,
        "python_version": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_bytes": _memory_bytes(),
        "packages": packages,
        "extras": extras,
    }
    return Installed(found)


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
