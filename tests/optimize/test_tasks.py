"""What a model is for: which task takes it, and that a text's figures are those of `perplexity`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from inferstack.analysis.workload import find_model
from inferstack.api.decoder import loaded_decoder
from inferstack.compress.perplexity import spread, windows_of
from inferstack.core.errors import DataError, InputError
from inferstack.core.progress import silent
from inferstack.generate.perplexity import perplexity
from inferstack.models.data import Pairs
from inferstack.optimize.stages import Stages
from inferstack.optimize.task import task_of
from inferstack.optimize.tasks.text import TASK, TextEvaluation, split
from inferstack.testing.checkpoints import tiny_llama

TEXT = "the cat sat on the mat, and a dog ran very far. " * 12


def prepared(folder: Path, tokens: int, text: str = TEXT) -> TextEvaluation:
    """The text in windows, all of them measuring."""
    model = tiny_llama(folder / "tiny").write()
    stages = Stages(folder=folder / "stages")
    calibration = ("a cat sat and sat on a mat",)
    return TASK.prepare(
        model, tokens, texts=(text,), calibration=calibration, pairs=None, stages=stages
    )


def test_a_models_task_follows_from_what_it_is(tmp_path: Path) -> None:
    assert task_of(find_model("bert-base")).name == "sentences"
    assert task_of(find_model("llama-2-7b")).name == "text"
    folder = str(tiny_llama(tmp_path / "tiny").write())
    assert task_of(find_model(folder)).name == "text"
    with pytest.raises(InputError, match="resnet50: is for no task that is measured yet"):
        task_of(find_model("resnet50"))


def test_perplexity_is_that_of_windows_that_do_not_overlap(tmp_path: Path) -> None:
    """By another way through the house: the compiled runner, token by token behind its cache."""
    evaluation = prepared(tmp_path, 24)
    decoder = loaded_decoder(tmp_path / "tiny")
    ids = decoder.tokenizer.encode(TEXT)[: 24 * evaluation.samples]
    expected = perplexity(decoder.runner, ids, window=24, stride=24)
    assert expected.scored == 23 * evaluation.samples
    quality = evaluation.quality(evaluation.graph, "itself", silent)
    assert math.isclose(quality.value("perplexity"), expected.value, rel_tol=1e-5)
    assert quality.value("perplexity_float") == quality.value("perplexity")
    assert quality.value("perplexity_change") == 0
    assert quality.value("same_likeliest_token") == 1


def test_every_third_window_calibrates_and_few_of_many_measure() -> None:
    windows = windows_of(range(100), 7, "--data")
    assert windows.shape == (14, 7)
    assert windows[-1, -1] == 97
    calibrating, measured = split(windows)
    assert calibrating[:, 0].tolist() == [0, 21, 42, 63, 84]
    assert sorted({*calibrating[:, 0], *measured[:, 0]}) == windows[:, 0].tolist()
    chosen = spread(windows, 4)[:, 0].tolist()
    assert chosen == [0, 28, 63, 91]
    alone = split(windows[:1])
    assert np.array_equal(alone[0], alone[1])


def test_a_text_that_fills_no_window_and_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        prepared(tmp_path, 60, "a cat")
    assert str(error.value) == (
        "--data: is shorter than a window; got 4 tokens, need at least 60, the --seq-len"
    )
    with pytest.raises(InputError, match="--seq-len: is too short; got 1, need at least 2"):
        prepared(tmp_path, 1)
    pairs = Pairs(first=("a",), second=("b",), scores=(1.0,))
    with pytest.raises(InputError, match="--eval: pairs of sentences measure encoders"):
        TASK.prepare(
            tmp_path / "tiny", 8, texts=(TEXT,), calibration=None, pairs=pairs,
            stages=Stages(folder=tmp_path),
        )  # fmt: skip
