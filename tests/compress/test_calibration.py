"""Statistics against numpy on the whole tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.compress.calibration import Clipping, Statistics, _Collector, calibrate
from inferstack.core.errors import DataError, UnknownNameError
from inferstack.ir.graph import Graph
from inferstack.ops.execute import execute

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]


def statistics_of(values: Array) -> Statistics:
    collector = _Collector()
    collector.add(values)
    return collector.finish("x")


def test_statistics_are_those_of_the_attended_tokens(tiny: Graph, feeds: Feeds) -> None:
    halves = [{n: v[:13] for n, v in feeds.items()}, {n: v[13:] for n, v in feeds.items()}]
    calibration = calibrate(tiny, halves)
    values = execute(tiny, feeds, keep=True)
    mask = feeds["mask"] != 0
    for name in ("layer0.attention_norm", "layer1.gelu", "layer1.value"):
        rows = values[name][mask]
        statistics = calibration.of(name)
        assert statistics.channel_absmax == pytest.approx(np.abs(rows).max(axis=0), rel=1e-4)
        assert statistics.channel_square == pytest.approx((rows**2).mean(axis=0), rel=1e-4)
        assert int(statistics.histogram.sum()) == rows.size
    pairs = sum(int(row.sum()) ** 2 for row in feeds["mask"])
    assert int(calibration.of("layer0.scores").histogram.sum()) == 4 * pairs
    assert calibration.samples == 40


def test_the_same_sentences_give_the_same_statistics(tiny: Graph, feeds: Feeds) -> None:
    first, second = calibrate(tiny, [feeds]), calibrate(tiny, [feeds])
    for name, statistics in first.statistics.items():
        other = second.of(name)
        for field in dataclasses.fields(Statistics):
            left, right = getattr(statistics, field.name), getattr(other, field.name)
            assert np.array_equal(left, right), (name, field.name)


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.0, 99.99, 100.0])
def test_percentile_is_within_a_bin_of_the_exact_one(percent: float) -> None:
    values = np.random.default_rng(1).standard_t(3, (4000, 8)).astype(np.float32)
    exact = float(np.quantile(np.abs(values), percent / 100))
    assert statistics_of(values).percentile(percent) == pytest.approx(exact, rel=0.02)


def test_mse_clip_is_as_good_as_trying_every_clip() -> None:
    values = np.random.default_rng(2).laplace(0, 1, (4000, 8)).astype(np.float32)

    def error(clip: float) -> float:
        step = clip / 127
        rounded = np.clip(np.rint(values / step), -127, 127) * step
        return float(((values - rounded) ** 2).mean())

    best = min(error(clip) for clip in np.linspace(0.5, float(np.abs(values).max()), 400))
    chosen = statistics_of(values).mse_clip()
    assert chosen < float(np.abs(values).max())
    assert error(chosen) < 1.05 * best


def test_each_clipping_is_what_it_says(tiny: Graph, feeds: Feeds) -> None:
    calibration = calibrate(tiny, [feeds], clipping=Clipping.ABSMAX)
    name = "layer0.gelu"
    statistics = calibration.of(name)
    assert calibration.clip(name) == statistics.absmax
    for clipping, expected in (
        (Clipping.PERCENTILE, statistics.percentile(99.99)),
        (Clipping.MSE, statistics.mse_clip()),
    ):
        assert dataclasses.replace(calibration, clipping=clipping).clip(name) == expected


def test_progress_counts_every_sentence(tiny: Graph, feeds: Feeds) -> None:
    counts: list[int] = []
    calibrate(tiny, [feeds, feeds], progress=counts.append)
    assert counts == [40, 40]


def test_no_sentence_is_an_error(tiny: Graph) -> None:
    with pytest.raises(DataError, match="there are no sentences to calibrate on"):
        calibrate(tiny, [])


def test_values_that_are_not_finite_are_an_error() -> None:
    collector = _Collector()
    collector.add(np.array([[1.0, np.inf]], dtype=np.float32))
    with pytest.raises(DataError, match="tensor x has values that are not finite"):
        collector.finish("x")


def test_an_unknown_tensor_names_the_nearest(tiny: Graph, feeds: Feeds) -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'layer0\.gelu'"):
        calibrate(tiny, [feeds]).of("layer0.gelo")
