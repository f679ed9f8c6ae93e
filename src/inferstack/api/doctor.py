"""`doctor`: what is installed here: versions, extras, cores, memory."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from inferstack import __version__


def doctor() -> dict[str, Any]:
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
