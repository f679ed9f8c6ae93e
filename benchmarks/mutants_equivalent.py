"""Mutants that no test can tell from the code: (path, function, change) and the reason."""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str, str], str] = {}
