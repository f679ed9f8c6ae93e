"""Decoding in integers: bit for bit what the whole text gives at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import inferstack as ist
from inferstack.compress.calibration import calibrate
from inferstack.compress.method import method
from inferstack.core.errors import DataError, InputError
from inferstack.generate.runner import Runner
from inferstack.models.decoder_checkpoint import load_decoder
from inferstack.models.scenario import Scenario
from inferstack.ops.execute import execute
from inferstack.testing.checkpoints import tiny_llama

TEXT = "the cat sat on the mat, and a dog ran very far. " * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("llama") / "tiny").write()


@pytest.mark.parametrize("pieces", [[1] * 9, [9], [4, 1, 4]], ids=str)
def test_any_pieces_give_the_bits_of_the_whole(folder: Path, pieces: list[int]) -> None:
    whole = load_decoder(folder, Scenario.prefill(9))
    graph = dataclasses.replace(whole.graph, outputs=("logits",))
    ids = np.random.default_rng(1).integers(0, whole.description.vocabulary, (1, 9))
    ranges = calibrate(graph, [{"ids": ids}])
    at_once = method("integer-only").apply(graph, ranges)
    expected = execute(at_once, {"ids": ids})[at_once.outputs[0]][0]
    step = dataclasses.replace(load_decoder(folder).graph, outputs=("logits",))
    runner = Runner(method("integer-only").apply(step, ranges), whole.description)
    sequence, found = runner.start(9), []
    for count in pieces:
        found.append(sequence.feed(ids[0, sequence.tokens : sequence.tokens + count], every=True))
    assert np.array_equal(np.concatenate(found), expected)
    assert {cache.dtype for cache in sequence.caches.values()} == {np.dtype("int8")}


def test_a_text_calibrates_and_the_model_writes(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    model = ist.load(folder)
    real, integers = model.decoder(), model.decoder(path)
    assert integers.runner.weight_bytes < 0.5 * real.runner.weight_bytes
    assert integers.generate("the cat", max_tokens=5) == model.decoder(TEXT).generate(
        "the cat", max_tokens=5
    )
    close = integers.perplexity(TEXT, window=16).value / real.perplexity(TEXT, window=16).value
    assert 0.9 < close < 1.1


def test_a_text_without_two_tokens_gives_no_ranges(folder: Path) -> None:
    with pytest.raises(DataError, match=r"--calibrate: is too short; got 1 tokens"):
        ist.load(folder).decoder("")
    with pytest.raises(InputError):
        ist.load("llama-2-7b").decoder(TEXT)
