"""Windows of a text and the nats of its tokens: closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from inferstack.compress.perplexity import nats_of, spread, windows_of
from inferstack.core.errors import DataError


def test_nats_are_logarithms_of_shares() -> None:
    logits = np.log(np.array([[1.0, 3.0], [2.0, 2.0]]))
    assert nats_of(logits, np.array([0, 1])) == pytest.approx([np.log(4), np.log(2)])
    with pytest.raises(DataError, match="not finite"):
        nats_of(np.array([[np.nan, 0.0]]), np.array([0]))


def test_windows_are_whole() -> None:
    assert windows_of(range(10), 4, "--data").tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert spread(windows_of(range(10), 4, "--data"), 1).tolist() == [[0, 1, 2, 3]]
    with pytest.raises(DataError, match="--data: is shorter than a window"):
        windows_of(range(10), 11, "--data")
