"""A plug-in of pytest for `mutants.py`: which functions each test enters, and tests in an order.

MUTANTS_RECORD: file to write, JSON: by test, its seconds and the functions of the package that it
enters. Code that numba compiled is not seen. MUTANTS_ORDER: file with the tests to run, in order.
"""

from __future__ import annotations

import cProfile
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

RECORD, ORDER = (os.environ.get(f"MUTANTS_{name}") for name in ("RECORD", "ORDER"))
PACKAGE = f"{os.sep}src{os.sep}inferstack{os.sep}"
profile = cProfile.Profile(builtins=False)
recorded: dict[str, tuple[float, list[str]]] = {}


def _names() -> list[str]:
    """What was entered since the last call: path in the package, and the qualified name."""
    found = set()
    for entry in profile.getstats():
        if isinstance(entry.code, CodeType):
            _, package, path = entry.code.co_filename.partition(PACKAGE)
            if package:
                found.add(f"{path}::{entry.code.co_qualname.replace('<locals>.', '')}")
    profile.clear()
    return sorted(found)


if RECORD:

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
        """Watches one test, its fixtures included."""
        start = time.perf_counter()
        profile.enable()
        try:
            return (yield)
        finally:
            profile.disable()
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
