"""Extension points: a folder's own files and outsiders' entry points enter by the same door."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any


def discover(package: ModuleType, attribute: str) -> dict[str, Any]:
    """Objects named `attribute` in the modules of `package` and in its entry-point group.

    Keyed by module name (entry-point name for outsiders). Modules without it are helpers.
    """
    found: dict[str, Any] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        loaded = importlib.import_module(f"{package.__name__}.{module.name}")
        if hasattr(loaded, attribute):
            found[module.name] = getattr(loaded, attribute)
    for point in entry_points(group=package.__name__):
        found.setdefault(point.name, point.load())
    return found
