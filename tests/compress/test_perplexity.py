"""Perplexity of graphs: that of `generate` over the same windows, and closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inferstack.api.decoder import loaded_decoder
from inferstack.compress.calibration import calibrate
from inferstack.compress.perplexity import nats_of, nats_per_token, perplexity_of, windows_of
from inferstack.core.errors import DataError
from inferstack.models.decoder_checkpoint import load_decoder
from inferstack.models.scenario import Scenario
from inferstack.testing.checkpoints import tiny_llama

TEXT = "the cat sat on the mat, and the dog ran very far. " * 6


def test_it_is_that_of_generate_over_the_same_windows(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "tiny").write()
    checkpoint = load_decoder(folder, Scenario.prefill(24))
    ids = checkpoint.tokenizer.encode(TEXT)[:96]
    feeds = windows_of(ids, 16)
    expected = loaded_decoder(folder).perplexity(TEXT, window=16, stride=16, max_tokens=96)
    assert feeds["ids"].shape == (6, 16)
    assert perplexity_of(checkpoint.graph, feeds) == pytest.approx(expected.value, rel=1e-5)
    assert expected.scored == 6 * 15
    done: list[int] = []
    calibrated = calibrate(checkpoint.graph, [{"ids": row[None]} for row in feeds["ids"]])
    assert calibrated.samples == 6
    nats_per_token(checkpoint.graph, feeds, progress=done.append)
    assert done == [1] * 6


def test_nats_are_logarithms_of_shares() -> None:
    logits = np.log(np.array([[1.0, 3.0], [2.0, 2.0]]))
    assert nats_of(logits, np.array([0, 1])) == pytest.approx([np.log(4), np.log(2)])
    with pytest.raises(DataError, match="not finite"):
        nats_of(np.array([[np.nan, 0.0]]), np.array([0]))


def test_windows_are_whole() -> None:
    assert windows_of(range(10), 4)["ids"].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert windows_of(range(10), 4, 1)["ids"].tolist() == [[0, 1, 2, 3]]
    with pytest.raises(DataError, match="does not fill a window"):
        windows_of(range(10), 11)
