"""Cosines, ranks and Spearman against closed forms; embeddings do not depend on the padding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstack.compress.accuracy import (
    accuracy,
    batches_by_length,
    by_length,
    cosines,
    embed,
    ranks,
    spearman,
)
from inferstack.compress.calibration import Calibration
from inferstack.compress.method import method
from inferstack.core.errors import DataError
from inferstack.ir.graph import Graph
from inferstack.ops.execute import execute
from inferstack.ops.retoken import with_tokens

Feeds = Mapping[str, npt.NDArray[Any]]


def test_cosines_of_known_angles_and_of_a_zero_row() -> None:
    a = np.array([[1.0, 0.0], [1.0, 1.0], [2.0, 0.0], [0.0, 0.0]])
    b = np.array([[0.0, 3.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert cosines(a, b) == pytest.approx([0.0, 0.5**0.5, -1.0, 0.0])


def test_ranks_share_the_mean_among_equals() -> None:
    assert ranks(np.array([30, 10, 20, 20, 10, 10])).tolist() == [6.0, 2.0, 4.5, 4.5, 2.0, 2.0]


@given(st.permutations(range(8)), st.permutations(range(8)))
def test_spearman_without_ties_is_the_textbook_formula(a: list[int], b: list[int]) -> None:
    squares = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    expected = 1 - 6 * squares / (8 * (8**2 - 1))
    assert spearman(np.array(a), np.array(b)) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=30))
def test_spearman_with_ties_is_pearson_of_mean_ranks(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    if len(set(a.tolist())) == 1 or len(set(b.tolist())) == 1:
        with pytest.raises(DataError, match="two different values on both sides"):
            spearman(a, b)
        return
    first, second = (
        [float((side < value).sum() + ((side == value).sum() + 1) / 2) for value in side]
        for side in (a, b)
    )
    assert spearman(a, b) == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-12)


def test_embeddings_come_in_the_order_of_the_feeds(tiny: Graph, feeds: Feeds) -> None:
    whole = execute(tiny, feeds)["sentence_embedding"]
    assert embed(tiny, feeds) == pytest.approx(whole, abs=2e-6)


def test_the_integer_program_gives_the_same_bits_at_any_padded_length(
    tiny: Graph, feeds: Feeds, calibration: Calibration
) -> None:
    program = method("integer-only").apply(tiny, calibration)
    for row in range(5):
        length = int(feeds["mask"][row].sum())
        alone = {name: values[row : row + 1] for name, values in feeds.items()}
        short = {name: values[:, :length] for name, values in alone.items()}
        long = execute(program, alone, keep=True)
        brief = execute(with_tokens(program, length), short, keep=True)
        for name, values in brief.items():
            if values.ndim == 3:
                assert np.array_equal(values, long[name][:, :length])


def test_batches_hold_every_sentence_once_and_cut_nothing(tiny: Graph, feeds: Feeds) -> None:
    batches = batches_by_length(tiny, feeds)
    assert sorted(int(row) for rows, _ in batches for row in rows) == list(range(40))
    for rows, tokens in batches:
        assert len(rows) <= 16
        assert tokens >= int(feeds["mask"][rows].sum(axis=1).max())


def test_a_graph_against_itself_is_perfect(tiny: Graph, feeds: Feeds) -> None:
    half = {name: values[:20] for name, values in feeds.items()}
    rest = {name: values[20:] for name, values in feeds.items()}
    scores = [float(value) for value in cosines(embed(tiny, half), embed(tiny, rest))]
    result = accuracy(tiny, tiny, feeds, pairs=(half, rest, scores))
    assert result.samples == 40
    assert result.mean_cosine == pytest.approx(1.0)
    assert result.worst_cosine == pytest.approx(1.0)
    assert result.spearman_float == result.spearman_compressed == pytest.approx(1.0)


def test_no_sentence_is_an_error(tiny: Graph) -> None:
    empty = {name: np.zeros((0, 12), dtype=np.int64) for name in tiny.inputs}
    with pytest.raises(DataError, match="there are no sentences to embed"):
        embed(tiny, empty)


def test_lengths_fall_into_octaves_and_every_sentence_into_one() -> None:
    lengths = np.array([1, 16, 17, 32, 33, 130, 512])
    similarity = np.linspace(0.9, 0.96, 7)
    parts = by_length(similarity, lengths)
    bounds = [(part.least, part.most, part.samples) for part in parts]
    assert bounds == [(1, 16, 2), (17, 32, 2), (33, 64, 1), (129, 256, 1), (257, 512, 1)]
    assert parts[1].worst_cosine == similarity[2]
    assert parts[1].mean_cosine == pytest.approx(similarity[2:4].mean())
