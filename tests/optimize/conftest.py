"""A tiny random BERT with the sentences to optimize it on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.models.conftest import tiny_bert

from inferstack.hardware.load import load_accelerator
from inferstack.optimize.stack import Request

SENTENCES = (
    "the cat sat on the mat",
    "a dog ran very far",
    "cats and dogs playing",
    "the dog sat , the cat ran !",
    "very very far",
    "the mat",
    "a cat and a dog and a cat and a dog and a cat and a dog and a cat",
)


@pytest.fixture
def request_of_tiny(tmp_path: Path) -> Request:
    """Everything by default, on a model that runs in no time."""
    return Request(
        model=tiny_bert(tmp_path / "tiny").write(),
        accelerator=load_accelerator("gemmini"),
        seq_len=16,
        texts=SENTENCES,
        calibration=None,
        pairs=None,
        objective="edp",
        checked=2,
        folder=tmp_path / "out",
    )
