"""A small encoder with random weights, made of the kinds that BERT is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.compress.calibration import Calibration, calibrate
from inferstack.core.dtypes import DType
from inferstack.ir.graph import Graph, TensorRole
from inferstack.ops.builder import GraphBuilder

Array = npt.NDArray[Any]
TOKENS, WIDTH, HEADS, INNER, WORDS = 12, 32, 4, 64, 50


class Encoder:
    """Builds the graph; every weight is drawn from one seeded generator."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.builder = GraphBuilder("tiny")

    def weight(self, name: str, *shape: int, mean: float = 0.0, spread: float = 0.3) -> str:
        data = self.random.normal(mean, spread, shape).astype(np.float32)
        return self.builder.tensor(name, shape, DType.FLOAT32, TensorRole.WEIGHT, data)

    def dense(self, name: str, x: str, rows: int, columns: int) -> str:
        inputs = {
            "a": x,
            "b": self.weight(f"{name}.weight", rows, columns),
            "bias": self.weight(f"{name}.bias", columns),
        }
        return self.builder.add("matmul", name, inputs, part="feed-forward")

    def norm(self, name: str, x: str) -> str:
        inputs = {
            "x": x,
            "gamma": self.weight(f"{name}.gamma", WIDTH, mean=1.0),
            "beta": self.weight(f"{name}.beta", WIDTH),
        }
        return self.builder.add("layernorm", name, inputs, {"epsilon": 1e-12})

    def embeddings(self) -> str:
        add = self.builder.add
        words = {"table": self.weight("words", WORDS, WIDTH), "ids": "ids"}
        places = {"table": self.weight("places", TOKENS, WIDTH), "ids": "ids"}
        types = {"table": self.weight("types", 2, WIDTH), "ids": "token_type_ids"}
        word = add("embedding", "word", words)
        kind = add("embedding", "kind", types)
        place = add("position_embedding", "place", places, {"padding_id": -1})
        total = add("add", "sum_kind", {"a": word, "b": kind})
        return self.norm("norm", add("add", "sum_place", {"a": total, "b": place}))

    def layer(self, name: str, x: str) -> str:
        add = self.builder.add
        heads = {"heads": HEADS, "kv_heads": HEADS}
        query, key, value = (
            self.dense(f"{name}.{n}", x, WIDTH, WIDTH) for n in ("query", "key", "value")
        )
        scores = add(
            "attention_scores",
            f"{name}.scores",
            {"query": query, "key": key},
            {**heads, "scale": (WIDTH // HEADS) ** -0.5},
        )
        probabilities = add(
            "softmax", f"{name}.softmax", {"x": scores, "mask": "mask"}, {"causal": False}
        )
        context = add(
            "attention_context",
            f"{name}.context",
            {"probabilities": probabilities, "value": value},
            heads,
        )
        output = self.dense(f"{name}.output", context, WIDTH, WIDTH)
        x = self.norm(f"{name}.norm1", add("add", f"{name}.add1", {"a": output, "b": x}))
        inner = self.dense(f"{name}.inner", x, WIDTH, INNER)
        active = add("gelu", f"{name}.gelu", {"x": inner}, {"approximate": "none"})
        outer = self.dense(f"{name}.outer", active, INNER, WIDTH)
        return self.norm(f"{name}.norm2", add("add", f"{name}.add2", {"a": outer, "b": x}))


def encoder(layers: int = 2, seed: int = 0) -> Graph:
    """Ids, token types and mask (batch, 12) -> pooled embeddings (batch, 32)."""
    made = Encoder(seed)
    for name in ("ids", "token_type_ids", "mask"):
        made.builder.tensor(name, (1, TOKENS), DType.INT64, TensorRole.INPUT)
    x = made.embeddings()
    for index in range(layers):
        x = made.layer(f"layer{index}", x)
    made.builder.add("mean_pool", "pooled", {"x": x, "mask": "mask"}, {"normalize": True})
    return made.builder.build(("pooled",))


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
