"""Where a report or a folder of results may be written: asked before the long work starts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from inferstack.core.errors import InputError
from inferstack.core.files import check_ours


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
    check_ours(where, [path])


def check_folder(folder: Path, names: Iterable[str] = (), flag: str = "--out") -> None:
    """Raises InputError where no folder can be made and written; makes nothing.

    names: patterns of what will be written there; a file of somebody else's among them is refused.
    """
    where = f"{flag} {folder}"
    existing = next(
        path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
    )
    if not existing.is_dir():
        what = "is a file" if existing == folder.absolute() else f"{existing} is a file"
        raise InputError(where, what, need="a folder, made if need be")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(where, f"{existing} cannot be written", hint="choose another folder")
    if folder.is_dir():
        check_ours(where, (path for name in names for path in sorted(folder.glob(name))))


def check_apart(folder: Path, model: Path, flag: str = "--out") -> None:
    """Raises InputError where one of results and model would lie in the other, by whatever name."""
    written, read = folder.resolve(), model.resolve()
    hint = f"try {flag} {read.name}-optimized"
    if written == read or read in written.parents:
        raise InputError(
            f"{flag} {folder}", "lies in the folder of the model, which would be overwritten",
            got=str(read), need="another folder", hint=hint,
        )  # fmt: skip
    if written in read.parents:
        raise InputError(
            f"{flag} {folder}", "holds the folder of the model, beside which nothing is written",
            got=str(read), need="a folder of its own", hint=hint,
        )  # fmt: skip
