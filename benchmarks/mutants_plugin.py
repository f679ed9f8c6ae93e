"""A plug-in of pytest for `mutants.py`: which functions each test enters, and tests in an order.

MUTANTS_RECORD: file to write, JSON: by test, its seconds and the functions of the package that it
enters. Code that numba compiled is not seen. MUTANTS_ORDER: file with the tests to run, in order.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

RECORD, ORDER = (os.environ.get(f"MUTANTS_{name}") for name in ("RECORD", "ORDER"))
PACKAGE = f"{os.sep}src{os.sep}inferstack{os.sep}"
entered: set[CodeType] = set()
recorded: dict[str, tuple[float, list[str]]] = {}


def _enter(frame: FrameType, event: str, argument: Any) -> None:
    entered.add(frame.f_code)


def _names() -> list[str]:
    """What was entered: path in the package, and the qualified name."""
    found = set()
    for code in entered:
        _, package, path = code.co_filename.partition(PACKAGE)
        if package:
            found.add(f"{path}::{code.co_qualname.replace('<locals>.', '')}")
    return sorted(found)


if RECORD:

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
        """Watches one test, its fixtures included."""
        entered.clear()
        start = time.perf_counter()
        sys.settrace(_enter)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            recorded[item.nodeid] = (time.perf_counter() - start, _names())

    def pytest_sessionfinish() -> None:
        """Writes what was seen."""
        Path(str(RECORD)).write_text(json.dumps(recorded), encoding="utf-8")


if ORDER:

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
        """The named tests alone, file by file, so that fixtures of files are made once."""
        wanted = Path(str(ORDER)).read_text(encoding="utf-8").splitlines()
        rank = {name: at for at, name in enumerate(wanted)}
        first: dict[Path, int] = {}
        for name in wanted:
            first.setdefault(Path(name.partition("::")[0]), len(first))
        chosen = [item for item in items if item.nodeid in rank]
        chosen.sort(
            key=lambda item: (first[Path(item.nodeid.partition("::")[0])], rank[item.nodeid])
        )
        items[:] = chosen
