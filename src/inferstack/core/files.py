"""Writing files: the old content or the new, never a part; and never over what is not ours.

The one rule for every verb: what we did not write we neither delete nor overwrite. A file of ours
says so in its first or last bytes (`MARKS`); stages are named by the digest of what they hold.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from inferstack.core.errors import InputError

MARK = "written by inferstack"
"""Of text in which a comment can stand."""
MARKS = tuple(
    mark.encode()
    for mark in (
        MARK,
        '"inferstack_version"',
        '"format": "inferstack',
        "<footer>inferstack ",
        '"written_by":"inferstack"',
    )
)
NEAR_BYTES = 4096
"""How far from either end a mark stands."""
STAGES = "stages"
"""The folder, in that of the results, of what lets a stopped run go on."""
PARTIAL = ".inferstack-partial"
"""How the name of a file ends that is being written."""
LONGEST_STEM = 100
_PARTIAL_NAME = re.compile(r"\..+-[a-z0-9_]{8}" + re.escape(PARTIAL))
_STAGE = re.compile(r".+-[0-9a-f]{32}\.npy")


def is_ours(path: Path) -> bool:
    """Whether a file says that inferstack wrote it. Raises OSError."""
    if path.parent.name == STAGES and _STAGE.fullmatch(path.name):
        return True
    with path.open("rb") as file:
        head = file.read(NEAR_BYTES)
        file.seek(max(0, path.stat().st_size - NEAR_BYTES))
        near = head + file.read(NEAR_BYTES)
    # What is empty holds nothing that could be lost.
    return not near or any(mark in near for mark in MARKS)


def check_ours(where: str, paths: Iterable[Path]) -> None:
    """Raises InputError at the first file that stands there and is not ours. where: the flag."""
    for path in paths:
        if path.is_dir():
            raise InputError(where, f"{path} is a folder", need="a file, or nothing, at its place")
        try:
            foreign = (path.exists() or path.is_symlink()) and not is_ours(path)
        except OSError as failure:
            raise InputError(where, f"{path} cannot be read: {failure.strerror}") from None
        if foreign:
            raise InputError(
                where, f"{path} was not written by inferstack, and stays as it is",
                need="another place", hint="name another one, or move that file away",
            )  # fmt: skip


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces the file at `path` in one step, and removes what killed runs left beside it.

    Raises OSError naming `path`, and then leaves nothing behind; InputError where the file there is
    not ours.
    """
    check_ours(str(path), [path])
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        _replace(path, data)
    except OSError as failure:
        raise OSError(failure.errno, failure.strerror, str(path)) from None


def _replace(path: Path, data: bytes) -> None:
    _remove_stale(path.parent)
    handle, name = _partial_file(path)
    with os.fdopen(handle, "wb") as file:
        try:
            file.write(data)
            file.flush()
            # mkstemp makes private files; what is written here is as readable as any new file.
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _partial_file(path: Path) -> tuple[int, str]:
    """A new file beside `path`, locked as long as its writer lives."""
    while True:
        prefix = f".{path.name[:LONGEST_STEM]}-"
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=PARTIAL, dir=path.parent)
        if _lock(handle) and _stands(handle, name):
            return handle, name
        # Another writer took it for a stale one, between its making and its locking.
        os.close(handle)


def _remove_stale(folder: Path) -> None:
    """Removes partial files of ours that no living writer holds: their run was killed."""
    for path in folder.glob(f".*{PARTIAL}"):
        if not _PARTIAL_NAME.fullmatch(path.name) or path.is_symlink() or not path.is_file():
            continue
        try:
            handle = os.open(path, os.O_RDWR)
        except OSError:
            continue
        try:
            if _lock(handle, wait=False) and _stands(handle, str(path)):
                path.unlink(missing_ok=True)
        except OSError:
            # It is somebody else's, who may do more here; it stays.
            pass
        finally:
            os.close(handle)


def _lock(handle: int, *, wait: bool = True) -> bool:
    """Locks an open file until it is closed; whether that was possible."""
    try:
        import fcntl
    except ImportError:
        # Without locks nobody can say that a writer is dead: no partial file is removed.
        return wait
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return wait
    return True


def _stands(handle: int, name: str) -> bool:
    """Whether an open file still stands under its name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(name))
    except FileNotFoundError:
        return False


def move_aside(path: Path, seen: os.stat_result, suffixes: tuple[str, ...] = ("",)) -> Path | None:
    """Renames a damaged file of ours, and its companions, to a free name, which is returned.

    seen: the file that is damaged. None where another one stands there by now: a second process has
    moved it, and begun anew. The companions go first, and no file is ever overwritten.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        _lock(handle)
        if not os.path.samestat(os.fstat(handle), seen) or not _stands(handle, str(path)):
            return None
        aside = _free_name(path, suffixes)
        for suffix in reversed(suffixes):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{suffix}", f"{aside}{suffix}")
        return aside
    finally:
        os.close(handle)


def _free_name(path: Path, suffixes: tuple[str, ...]) -> Path:
    """A name that nothing has, taken by an empty file."""
    number = 0
    while True:
        number += 1
        aside = Path(f"{path}.damaged{number}")
        if any(Path(f"{aside}{suffix}").exists() for suffix in suffixes):
            continue
        with contextlib.suppress(FileExistsError):
            os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            return aside
