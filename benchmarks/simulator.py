"""Speed and figures of the simulator: a BERT-Base layer, and MiniLM sentence by sentence.

    python benchmarks/simulator.py [--tokens 512] [--model DIR --sentences FILE [--count 100]]

The layer has random int8 weights; every tensor is compared with the reference. With --model the
integer-only graph of the checkpoint runs on the machine, one sentence (a line of the file) after
the other; the 64 behind them calibrate. Tiles are the survey's default heuristic. Narration on
stderr, one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from inferstack.core.dtypes import DType
from inferstack.core.infeasible import Infeasible
from inferstack.hardware.accelerator import Accelerator
from inferstack.hardware.load import load_accelerator
from inferstack.ir.graph import Graph, TensorRole
from inferstack.mapping.kernels import kernels_of
from inferstack.mapping.nest import Mapping
from inferstack.ops.builder import GraphBuilder
from inferstack.ops.quantization import dyadic, exponential_attributes
from inferstack.schedule.contraction import heuristic_schedule
from inferstack.simulate.run import simulate_graph

WIDTH, HEADS, INNER = 768, 12, 3072


class Layer:
    """The matmuls and the softmax of one BERT-Base layer, with random int8 weights."""

    def __init__(self, tokens: int) -> None:
        self.random = np.random.default_rng(0)
        self.builder = GraphBuilder(f"BERT-Base layer, l={tokens}")
        self.builder.tensor("x", (1, tokens, WIDTH), DType.INT8, TensorRole.INPUT)

    def table(self, name: str, channels: int, factor: float) -> dict[str, str]:
        """Slots of a rescale by about `factor`."""
        arrays = dyadic(self.random.uniform(factor, 2 * factor, channels))
        return {
            slot: self.builder.tensor(
                f"{name}.{slot}", data.shape, DType.INT32, TensorRole.CONSTANT, data
            )
            for slot, data in zip(("multiplier", "shift"), arrays, strict=True)
        }

    def dense(self, name: str, x: str, rows: int, columns: int, *, narrow: bool = True) -> str:
        """A matmul with bias, requantized to int8 where `narrow`."""
        weight = self.random.integers(-127, 128, (rows, columns)).astype(np.int8)
        bias = self.random.integers(-9999, 10000, columns).astype(np.int32)
        role = TensorRole.WEIGHT
        inputs = {
            "a": x,
            "b": self.builder.tensor(f"{name}.weight", weight.shape, DType.INT8, role, weight),
            "bias": self.builder.tensor(f"{name}.bias", bias.shape, DType.INT32, role, bias),
        }
        inputs |= self.table(name, columns, 1e-5) if narrow else {}
        return self.builder.add("matmul", name, inputs)

    def build(self) -> Graph:
        """The graph."""
        add, heads = self.builder.add, {"heads": HEADS, "kv_heads": HEADS}
        query, key, value = (self.dense(n, "x", WIDTH, WIDTH) for n in ("query", "key", "value"))
        scores = add("attention_scores", "scores", {"query": query, "key": key}, heads)
        inputs = {"x": scores, **self.table("softmax", 1, 1e-2)}
        attributes = {**exponential_attributes(), "causal": False}
        inputs = {"probabilities": add("softmax", "softmax", inputs, attributes), "value": value}
        inputs |= self.table("context", WIDTH, 1e-3)
        context = add("attention_context", "context", inputs, heads)
        output = self.dense("output", context, WIDTH, WIDTH, narrow=False)
        wide = self.dense("inner", "x", WIDTH, INNER)
        return self.builder.build((output, self.dense("outer", wide, INNER, WIDTH, narrow=False)))


def greedy_mappings(graph: Graph, accelerator: Accelerator) -> dict[str, Mapping]:
    """Gemmini's own mapping of every contraction."""
    found: dict[str, Mapping] = {}
    for kernel in kernels_of(graph).kernels:
        if kernel.contraction is not None:
            one = heuristic_schedule(kernel.contraction, accelerator)
            assert not isinstance(one, Infeasible), one.message()
            found[kernel.name] = one.mapping
    return found


def layer_figures(tokens: int, accelerator: Accelerator) -> dict[str, Any]:
    """Seconds for time and for values of a layer, and what the machine says."""
    graph = Layer(tokens).build()
    mappings = greedy_mappings(graph, accelerator)
    x = np.random.default_rng(1).integers(-127, 128, (1, tokens, WIDTH)).astype(np.int8)
    small = Layer(16).build()
    simulate_graph(small, greedy_mappings(small, accelerator), accelerator, {"x": x[:, :16]})
    start = time.perf_counter()
    run = simulate_graph(graph, mappings, accelerator)
    timed = time.perf_counter()
    checked = simulate_graph(graph, mappings, accelerator, {"x": x}).checked
    both = time.perf_counter()
    products = [one for one in run.operators if one.where == "array"]
    macs = sum(one.timing.macs for one in products)
    cycles = sum(one.cycles for one in products)
    return {
        "tokens": tokens,
        "seconds_time": timed - start,
        "seconds_time_values_check": both - timed,
        "tensors_compared": checked,
        "cycles": run.cycles,
        "matmul_utilisation": macs / cycles / accelerator.array.macs_per_cycle,
        "instructions": sum(sum(one.timing.queue_counts.values()) for one in run.operators),
    }


def model_figures(
    model: Path, sentences: Path, count: int, accelerator: Accelerator
) -> dict[str, Any]:
    """The integer-only checkpoint on the machine, every tensor of every sentence compared."""
    from inferstack.compress.calibration import calibrate
    from inferstack.compress.method import methods
    from inferstack.models.data import read_sentences
    from inferstack.models.hugging_face import load_checkpoint

    lines = read_sentences(sentences)
    checkpoint = load_checkpoint(model, seq_len=128)
    graph, encode = checkpoint.graph, checkpoint.tokenizer.encode
    calibration = calibrate(graph, [encode(lines[count : count + 64])])
    quantized = methods()["integer-only"].apply(graph, calibration)
    feeds = encode(lines[:count])
    mappings = greedy_mappings(quantized, accelerator)
    start = time.perf_counter()
    run = simulate_graph(quantized, mappings, accelerator, feeds)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    unchecked = simulate_graph(quantized, mappings, accelerator, feeds, check=False)
    assert all(np.array_equal(run.outputs[n], unchecked.outputs[n]) for n in run.outputs)
    return {
        "sentences": run.sentences,
        "tensors_compared": run.checked,
        "seconds_with_check": seconds,
        "seconds_values": time.perf_counter() - start,
        "cycles": run.cycles,
    }


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--accelerator", default="gemmini-ibert")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--sentences", type=Path)
    parser.add_argument("--count", type=int, default=100)
    given = parser.parse_args()
    accelerator = load_accelerator(given.accelerator)
    figures: dict[str, Any] = {"layer": layer_figures(given.tokens, accelerator)}
    print(f"layer: {figures['layer']}", file=sys.stderr)
    if given.model and given.sentences:
        figures["model"] = model_figures(given.model, given.sentences, given.count, accelerator)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
