"""A tiny decoder, written and prepared."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferstack.api.decoder import Decoder, loaded_decoder
from inferstack.testing.checkpoints import tiny_llama


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a tiny Llama."""
    return tiny_llama(tmp_path_factory.mktemp("decoder") / "tiny").write()


@pytest.fixture(scope="session")
def decoder(folder: Path) -> Decoder:
    """That in `folder`."""
    return loaded_decoder(folder)
