"""Where a report may be written: asked before the long work starts."""

from __future__ import annotations

import os
from pathlib import Path

from inferstack.core.errors import InputError


def check_report_path(path: Path, flag: str = "--report") -> None:
    """Raises InputError where no file can be written at `path`; creates nothing."""
    where = f"{flag} {path}"
    if path.is_dir():
        raise InputError(
            where, "is a folder", need="the path of a file", hint=f"try {path / 'report.html'}"
        )
    folder = path.parent
    if not folder.exists():
        raise InputError(
            where, f"the folder {folder} does not exist", hint=f"create it: mkdir -p {folder}"
        )
    if not folder.is_dir():
        raise InputError(where, f"{folder} is not a folder")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError(where, "cannot be written", hint="choose a place that you may write to")
