"""The machines that ship with the package, by name: found by being there, nothing is read."""

from __future__ import annotations

from pathlib import Path

LIBRARY = Path(__file__).parent / "library"


def library_names() -> tuple[str, ...]:
    """The accelerators that ship with the package."""
    return tuple(sorted(path.stem for path in LIBRARY.glob("*.yaml")))
