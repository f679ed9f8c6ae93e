"""The choice of a token: as transformers' own warpers, and as its probabilities say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inferstack.core.errors import InputError
from inferstack.generate.sampling import Sampler, Sampling

LOGITS = np.random.default_rng(0).normal(0, 3, 50).astype(np.float32)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, None, 1.0), (0.5, None, 1.0), (2.0, 7, 1.0), (1.0, None, 0.8), (0.7, 12, 0.6),
     (1.0, 500, 1.0), (1.0, None, 0.01), (3.0, 1, 0.5)],
)  # fmt: skip
def test_probabilities_are_those_of_transformers(
    temperature: float, top_k: int | None, top_p: float
) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    scores = torch.from_numpy(LOGITS)[None].double()
    scores = transformers.TemperatureLogitsWarper(temperature)(None, scores)
    if top_k is not None:
        scores = transformers.TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        scores = transformers.TopPLogitsWarper(top_p)(None, scores)
    expected = torch.softmax(scores, dim=-1)[0].numpy()
    found = Sampling(temperature=temperature, top_k=top_k, top_p=top_p).probabilities(LOGITS)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)


def test_no_temperature_takes_the_likeliest() -> None:
    assert Sampler(Sampling()).choose(LOGITS) == LOGITS.argmax()


@pytest.mark.parametrize("temperature", [1e-3, 1e-308, 5e-324])
def test_the_coldest_draw_is_the_likeliest(temperature: float) -> None:
    found = Sampling(temperature=temperature, top_k=3).probabilities(LOGITS)
    assert found[LOGITS.argmax()] == found.sum() == 1


def test_draws_come_as_often_as_their_probability_says() -> None:
    sampling = Sampling(temperature=2.0, top_k=5, seed=1)
    sampler = Sampler(sampling)
    counts = np.bincount([sampler.choose(LOGITS) for _ in range(20_000)], minlength=50)
    np.testing.assert_allclose(counts / 20_000, sampling.probabilities(LOGITS), atol=0.015)
    assert np.count_nonzero(counts) == 5


def test_a_seed_draws_the_same_again() -> None:
    def drawn(seed: int) -> list[int]:
        sampler = Sampler(Sampling(temperature=2.0, seed=seed))
        return [sampler.choose(LOGITS) for _ in range(20)]

    assert drawn(3) == drawn(3) != drawn(4)


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"temperature": -0.1}, "--temperature"),
        ({"temperature": float("nan")}, "--temperature"),
        ({"temperature": True}, "--temperature"),
        ({"temperature": "hot"}, "--temperature"),
        ({"top_k": 0}, "--top-k"),
        ({"top_k": 1.5}, "--top-k"),
        ({"top_p": 1.01}, "--top-p"),
        ({"seed": -1}, "--seed"),
        ({"seed": 10**5000}, "--seed"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any], flag: str) -> None:
    with pytest.raises(InputError, match=f"{flag}: (makes no sense|is no whole number)"):
        Sampling(**wrong)
