"""Writing files so that whoever reads them finds the old content or the new, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces the file at `path` in one step. Raises OSError, and then leaves nothing behind."""
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
