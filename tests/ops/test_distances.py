"""Buckets of distances at real lengths, against the code that the weights were made with."""

from __future__ import annotations

import numpy as np
import pytest

from inferstack.ops.distance_scores import RULE as DISTANCE_SCORES
from inferstack.ops.position_bias import RULE as POSITION_BIAS

TOKENS = 1024


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("buckets", "longest"), [(256, 512), (32, 128), (8, 20), (4, 20)])
def test_every_distance_is_in_debertas_bucket(buckets: int, longest: int) -> None:
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers.models.deberta_v2.modeling_deberta_v2")
    rows = 2 * buckets
    x = np.zeros((1, 1, TOKENS, TOKENS), dtype=np.float32)
    by_row = np.broadcast_to(np.arange(rows, dtype=np.float32), (1, 1, TOKENS, rows))
    says = {"buckets": buckets, "longest": longest}
    ours = DISTANCE_SCORES.reference({"x": x, "by_row": by_row}, says)[0, 0]
    token = torch.arange(TOKENS)
    distance = theirs.make_log_bucket_position(token[:, None] - token, buckets, longest)
    expected = torch.clamp(distance.long() + buckets, 0, rows - 1).numpy()
    np.testing.assert_array_equal(ours, expected)


def test_every_distance_is_in_mpnets_bucket() -> None:
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers.models.mpnet.modeling_mpnet")
    x = np.zeros((1, 1, TOKENS, TOKENS), dtype=np.float32)
    table = np.arange(32, dtype=np.float32)[:, None]
    says = {"longest": 128, "both_ways": True}
    ours = POSITION_BIAS.reference({"x": x, "table": table}, says)[0, 0]
    token = torch.arange(TOKENS)
    expected = theirs.MPNetEncoder.relative_position_bucket(token - token[:, None]).numpy()
    np.testing.assert_array_equal(ours, expected)
