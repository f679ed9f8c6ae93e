"""Perplexity: as transformers' model gives it, over the same windows."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.models.referees import REFEREES, saved

from inferstack.api.decoder import Decoder
from inferstack.core.errors import DataError, InputError
from inferstack.generate.perplexity import perplexity
from inferstack.generate.runner import TEMPLATE, Runner
from inferstack.models.hugging_face import load_graph, read_architecture

TEXT = "the cat sat on the mat, and the dog ran very far. " * 6


def by_transformers(folder: Path, ids: list[int], window: int, stride: int) -> tuple[float, int]:
    """As the documentation of transformers does it: targets that are not scored are -100."""
    transformers = pytest.importorskip("transformers")
    import torch

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    nats, scored, done = 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + window, len(ids))
        given = torch.tensor([ids[begin:end]])
        targets = given.clone()
        targets[:, : -(end - done)] = -100
        with torch.no_grad():
            loss = model(given, labels=targets).loss.item()
        count = int((targets[:, 1:] != -100).sum())
        nats, scored, done = nats + loss * count, scored + count, end
        if end == len(ids):
            break
    return math.exp(nats / scored), scored


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("window", "stride"), [(64, 32), (64, 64), (20, 3), (7, 6), (2, 1)])
def test_it_is_that_of_transformers(
    folder: Path, decoder: Decoder, window: int, stride: int
) -> None:
    ids = decoder.tokenizer.encode(TEXT)[:100]
    expected, scored = by_transformers(folder, ids, window, stride)
    found = decoder.perplexity(TEXT, window=window, stride=stride, max_tokens=100)
    assert found.value == pytest.approx(expected, rel=1e-5)
    assert (found.scored, found.tokens) == (scored, 100)


def test_each_token_is_scored_once(decoder: Decoder) -> None:
    for window, stride in ((64, 1), (10, 4), (64, 63)):
        found = decoder.perplexity(TEXT, window=window, stride=stride)
        assert found.scored == found.tokens - 1
    found = decoder.perplexity(TEXT, window=10, stride=10)
    assert found.scored == found.tokens - math.ceil(found.tokens / 10)


def test_a_file_is_read_as_it_is(tmp_path: Path, decoder: Decoder) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"a cat\r\n\n sat")
    assert decoder.perplexity(path).nats == decoder.perplexity("a cat\r\n\n sat").nats
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="line 1: is not UTF-8"):
        decoder.perplexity(path)
    with pytest.raises(DataError, match="does not exist"):
        decoder.perplexity(tmp_path / "absent.txt")
    os.mkfifo(tmp_path / "pipe")
    for endless in (tmp_path / "pipe", tmp_path):
        with pytest.raises(DataError, match="is not a file"):
            decoder.perplexity(endless)


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"window": 1}, "--window"),
        ({"window": 65}, "--window"),
        ({"window": 2.5}, "--window"),
        ({"stride": 0}, "--stride"),
        ({"window": 8, "stride": 9}, "--stride"),
        ({"max_tokens": 0}, "--max-tokens"),
        ({"max_tokens": 2.5}, "--max-tokens"),
        ({"max_tokens": "9"}, "--max-tokens"),
        ({"max_tokens": True}, "--max-tokens"),
        ({"max_tokens": 1}, "--data"),
    ],
)
def test_what_makes_no_sense_is_refused(decoder: Decoder, wrong: dict[str, Any], flag: str) -> None:
    with pytest.raises(InputError, match=flag):
        decoder.perplexity(TEXT, **wrong)


def test_long_windows_are_scored_in_pieces(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = decoder.tokenizer.encode(TEXT)[:64]
    whole = perplexity(decoder.runner, ids, window=64).nats
    for module in ("perplexity", "runner"):
        monkeypatch.setattr(f"inferstack.generate.{module}.CHUNK_TOKENS", 5)
    assert np.isclose(perplexity(decoder.runner, ids, window=64).nats, whole, rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_angles_are_those_of_the_whole_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of this longrope they differ beyond 4 tokens, and transformers reads a window in one pass."""
    pytest.importorskip("transformers")
    longrope = next(r for r in REFEREES if r.name == "phi3 longrope, long")
    saved(longrope, tmp_path)
    ids = [2 + at % 40 for at in range(30)]
    expected, _ = by_transformers(tmp_path, ids, 12, 5)
    graph, _ = load_graph(tmp_path, TEMPLATE)
    runner = Runner(graph, read_architecture(tmp_path)[1])
    for module in ("perplexity", "runner"):
        monkeypatch.setattr(f"inferstack.generate.{module}.CHUNK_TOKENS", 3)
    assert perplexity(runner, ids, window=12, stride=5).value == pytest.approx(expected, rel=1e-5)
