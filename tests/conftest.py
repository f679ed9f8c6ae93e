"""What all tests share: reproducible property tests, and the places of data."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from tests.pinned import Pins

REPOSITORY = Path(__file__).parents[1]

# The same examples on every run: a red test must be red for everybody. No deadline: the first
# call of a compiled kernel takes seconds.
settings.register_profile("house", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("house")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where data stands that is too large, or not ours, to be in the repository."""
    parser.addoption(
        "--evaluation-data",
        type=Path,
        default=REPOSITORY.parent / "shared" / "data",
        help="folder with stsb-ccbysa (default: shared/data beside the repository)",
    )
    parser.addoption(
        "--peers-python",
        type=Path,
        default=REPOSITORY / ".peers" / "bin" / "python",
        help="a Python with AccelForge (default: the one that benchmarks/peers.py makes)",
    )
    parser.addoption(
        "--renew-pinned",
        action="store_true",
        help="write the figures in tests/pinned instead of comparing with them",
    )


@pytest.fixture(scope="session")
def pinned(request: pytest.FixtureRequest) -> Pins:
    """Compares figures with those that were looked at once."""
    return Pins(request.config.getoption("--renew-pinned"))


@pytest.fixture(scope="session")
def scored_pairs(request: pytest.FixtureRequest) -> Path:
    """The folder with the scored pairs of the STS benchmark, sts-dev.tsv and sts-train.tsv."""
    folder: Path = request.config.getoption("--evaluation-data") / "stsb-ccbysa"
    if not (folder / "sts-dev.tsv").is_file():
        pytest.skip(f"no scored pairs in {folder}; --evaluation-data says where they are")
    return folder


@pytest.fixture(scope="session")
def peers_python(request: pytest.FixtureRequest) -> Path:
    """A Python in which AccelForge is installed."""
    python: Path = request.config.getoption("--peers-python")
    if not python.exists():
        pytest.skip(f"no AccelForge: {python} is not there; benchmarks/peers.py makes it")
    return python


@pytest.fixture(scope="session")
def sample_folder() -> Path:
    """The real all-MiniLM-L6-v2 that `make test` fetches."""
    folder = REPOSITORY / "samples" / "all-MiniLM-L6-v2"
    if not (folder / "model.safetensors").is_file():
        pytest.skip("the sample is not there; `inferstack sample` fetches it")
    return folder
