"""Tiny checkpoints, not written yet, for every test of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest

from inferstack.testing.checkpoints import TinyCheckpoint, tiny_bert, tiny_roberta

__all__ = ["TINY", "Array", "TinyCheckpoint", "tiny_bert", "tiny_roberta"]

Array = npt.NDArray[Any]

TINY = {"bert": tiny_bert, "roberta": tiny_roberta}


@pytest.fixture
def bert(tmp_path: Path) -> TinyCheckpoint:
    """A tiny BERT, not written yet."""
    return tiny_bert(tmp_path / "tiny")


@pytest.fixture
def roberta(tmp_path: Path) -> TinyCheckpoint:
    """A tiny RoBERTa, not written yet."""
    return tiny_roberta(tmp_path / "tiny")
