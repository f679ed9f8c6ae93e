"""Files that torch.onnx writes once in a session of tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.models.onnx.exports import export

Exported = Callable[[str], Path]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The file of a model by its name in `exports`; with "!" behind it, by the dynamo exporter."""
    folder = tmp_path_factory.mktemp("onnx")

    def made(name: str) -> Path:
        path = folder / f"{name.replace('!', '-dynamo')}.onnx"
        if not path.exists():
            export(name.rstrip("!"), path, dynamo=name.endswith("!"))
        return path

    return made
