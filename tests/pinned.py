"""Figures that were looked at once, and stay until somebody changes them on purpose.

For models of cycles that no second formula gives, and for what a search had to look at.
`pytest --renew-pinned` writes those that the tests give today; the difference belongs in a commit.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parent / "pinned"
CLOSE = 1e-9
"""Relative, of floating-point figures: sums may be taken in another order."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pins:
    """renew: whether to write instead of to compare."""

    renew: bool

    def __call__(self, name: str, figures: object) -> None:
        """Compares the figures with those in `pinned/<name>.json`."""
        path, found = FOLDER / f"{name}.json", plain(figures)
        if self.renew:
            FOLDER.mkdir(exist_ok=True)
            lines = (f"{json.dumps(key)}: {json.dumps(found[key])}" for key in sorted(found))
            path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
            return
        compare(json.loads(path.read_text(encoding="utf-8")), found, name)


def plain(value: object) -> Any:
    """A value as JSON has it; sets are sorted, keys are text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: plain(getattr(value, f.name)) for f in fields if f.compare}
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else repr(key): plain(v) for key, v in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(plain(v) for v in value)
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def compare(wanted: Any, found: Any, where: str) -> None:
    """Fails at the first figure that is another."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        assert wanted.keys() == found.keys(), where
        for key in wanted:
            compare(wanted[key], found[key], f"{where}, {key}")
    elif isinstance(wanted, list) and isinstance(found, list):
        assert len(wanted) == len(found), where
        for index, (old, new) in enumerate(zip(wanted, found, strict=True)):
            compare(old, new, f"{where}[{index}]")
    elif isinstance(wanted, float) and isinstance(found, float):
        assert found == pytest.approx(wanted, rel=CLOSE, abs=0), where
    else:
        assert found == wanted, where
