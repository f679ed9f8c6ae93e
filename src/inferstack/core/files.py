"""Writing files: the old content or the new, never a part; and never over what is not ours.

The one rule for every verb: what we did not write we neither delete nor overwrite. A file of ours
says so in its first or last bytes (`MARKS`); stages are named by the digest of what they hold.
"""

from __future__ import annotations

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
    """Replaces the file at `path` in one step.

    Raises OSError, and then leaves nothing behind; InputError where the file there is not ours.
    """
    check_ours(str(path), [path])
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes private files; what is written here is as readable as any new file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def move_aside(path: Path, suffixes: tuple[str, ...] = ("",)) -> Path:
    """Renames a damaged file of ours, and its companions, to a free name, which is returned."""
    number = 1
    while any(Path(f"{path}.damaged{number}{suffix}").exists() for suffix in suffixes):
        number += 1
    aside = Path(f"{path}.damaged{number}")
    for suffix in suffixes:
        if Path(f"{path}{suffix}").exists():
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
    return aside
