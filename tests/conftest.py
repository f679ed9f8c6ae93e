"""What all tests share: reproducible property tests, and the places of data."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).parents[1]

# The same examples on every run: a red test must be red for everybody. No deadline: the first
# call of a compiled kernel takes seconds.
settings.register_profile("house", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("house")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def sample_folder() -> Path:
    """The real all-MiniLM-L6-v2 that `make test` fetches."""
    folder = REPOSITORY / "samples" / "all-MiniLM-L6-v2"
    if not (folder / "model.safetensors").is_file():
        pytest.skip("the sample is not there; `inferstack sample` fetches it")
    return folder
