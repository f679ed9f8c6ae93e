"""A small BERT with random weights, and random sentences for it."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.compress.calibration import Calibration, calibrate
from inferstack.ir.graph import Graph
from inferstack.models.bert import ARCHITECTURE, NO_PADDING_RULE, BertConfig
from inferstack.models.pooling import Pooling, with_pooling
from inferstack.models.scenario import Scenario

Array = npt.NDArray[Any]
TOKENS, WIDTH, HEADS, INNER, WORDS = 12, 32, 4, 64, 50


def weights(name: str, shape: tuple[int, ...]) -> Array:
    """Wide enough that every operator matters; the same for a name at every call."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return random.normal(float(name.endswith(".gamma")), 0.3, shape).astype(np.float32)


def encoder() -> Graph:
    """Ids, token types and mask (batch, 12) -> pooled embeddings (batch, 32), of length 1."""
    config = BertConfig(
        layers=2,
        hidden=WIDTH,
        heads=HEADS,
        feed_forward=INNER,
        vocabulary=WORDS,
        positions=TOKENS,
        token_types=2,
        has_type_input=True,
        padding_id=NO_PADDING_RULE,
        epsilon=1e-12,
        approximate="none",
    )
    scenario = Scenario.encode(TOKENS)
    graph = ARCHITECTURE.build("tiny", config, scenario, weights, unrolled=True)
    return with_pooling(graph, Pooling(normalize=True))


def sentences(count: int, seed: int) -> dict[str, Array]:
    """Random token ids of random lengths, padded with 0 to 12."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, TOKENS + 1, count)
    mask = (np.arange(TOKENS) < lengths[:, None]).astype(np.int64)
    ids = random.integers(1, WORDS, (count, TOKENS)) * mask
    return {"ids": ids, "token_type_ids": random.integers(0, 2, ids.shape) * mask, "mask": mask}


@pytest.fixture(scope="session")
def tiny() -> Graph:
    """The float encoder."""
    return encoder()


@pytest.fixture(scope="session")
def feeds() -> dict[str, Array]:
    """Forty sentences that calibration has not seen."""
    return sentences(40, seed=2)


@pytest.fixture(scope="session")
def calibration(tiny: Graph) -> Calibration:
    """Statistics over 64 other sentences."""
    return calibrate(tiny, [sentences(32, seed=3), sentences(32, seed=4)])
