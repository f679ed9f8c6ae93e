"""A small BERT with random weights, and random sentences for it."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.compress.calibration import Calibration, calibrate
from inferstack.ir.graph import Graph
from inferstack.models.families.bert import ARCHITECTURE
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
    config = ARCHITECTURE.read_config(
        "tiny",
        {
            "model_type": "bert",
            "num_hidden_layers": 2,
            "hidden_size": WIDTH,
            "num_attention_heads": HEADS,
            "intermediate_size": INNER,
            "vocab_size": WORDS,
            "max_position_embeddings": TOKENS,
            "type_vocab_size": 2,
            "layer_norm_eps": 1e-12,
            "hidden_act": "gelu",
        },
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
