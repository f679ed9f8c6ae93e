"""Cases of which some run in `make fast` and all in `make test`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow(cases: Iterable[object]) -> list[Any]:
    """The same cases, marked slow."""
    return [pytest.param(case, marks=pytest.mark.slow) for case in cases]
