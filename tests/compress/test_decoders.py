"""A Llama in integers: nothing in floating point between the ids and the logits, and close."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inferstack.compress.calibration import calibrate
from inferstack.compress.method import method
from inferstack.core.dtypes import DType
from inferstack.ir.graph import Graph
from inferstack.models.decoder_checkpoint import load_decoder
from inferstack.models.scenario import Scenario
from inferstack.ops.execute import execute
from inferstack.ops.verify import verify
from inferstack.testing.checkpoints import tiny_llama

TOKENS = 12


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """Prefill of a random Llama, to its logits."""
    folder = tiny_llama(tmp_path_factory.mktemp("llama")).write()
    whole = load_decoder(folder, Scenario.prefill(TOKENS)).graph
    return dataclasses.replace(whole, outputs=("logits",))


def windows(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Random ids."""
    rows = graph.tensors["embedding.word"].shape[0]
    return {"ids": np.random.default_rng(seed).integers(0, rows, (6, TOKENS))}


def test_a_llama_is_integers_from_its_ids_to_its_logits(graph: Graph) -> None:
    integers = method("integer-only").apply(graph, calibrate(graph, [windows(graph, 1)]))
    verify(integers)
    assert [one.kind for one in integers.operators if one.kind == "dequantize"] == ["dequantize"]
    assert integers.operators[-1].kind == "dequantize"
    kinds = {one.kind for one in integers.operators}
    assert {"rmsnorm", "silu", "multiply", "rotary", "softmax"} <= kinds
    types = {one.kind: integers.tensors[one.output].dtype for one in integers.operators}
    assert types["silu"] is DType.INT32
    parts = [one.attributes["part"] for one in integers.operators if one.kind == "multiply"]
    assert parts == ["low", "high"] * 2
    assert types["multiply"] is types["rotary"] is types["rmsnorm"] is DType.INT8


@pytest.mark.parametrize("name", ["integer-only", "int8-float"])
def test_its_logits_are_close(graph: Graph, name: str) -> None:
    integers = method(name).apply(graph, calibrate(graph, [windows(graph, 1)]))
    feeds = windows(graph, 2)
    real, found = (execute(one, feeds)[one.outputs[0]] for one in (graph, integers))
    assert np.corrcoef(real.ravel(), found.ravel())[0, 1] > 0.97
