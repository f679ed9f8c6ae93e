"""Tokens a second of a decoder in float32, beside what the memory's bandwidth allows.

    python benchmarks/generate.py [MODEL] [--prompt 32] [--tokens 64] [--rounds 3]

MODEL: a name of the library, whose weights are then random, or a folder with weights. The bound is
what one core reads in a second, over the bytes of weights that each token reads. Narration on
stderr, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from inferstack.generate import kernels
from inferstack.generate.runner import TEMPLATE, Runner
from inferstack.models.architecture import architecture_of, build
from inferstack.models.decoder_checkpoint import load_decoder

READ_BYTES = 2**28
"""Far beyond every cache."""


def read_bytes_per_second(rounds: int) -> float:
    """The best of several readings of a large matrix by the kernel that reads the weights."""
    rows = np.ones((READ_BYTES // 4 // 1024, 1024), dtype=np.float32)
    x, out = np.ones(1024, dtype=np.float32), np.empty(len(rows), dtype=np.float32)
    kernels.multiply_rows(rows, x, out)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        kernels.multiply_rows(rows, x, out)
        seconds.append(time.perf_counter() - start)
    return READ_BYTES / min(seconds)


def runner_of(name: str) -> Runner:
    """A named model with random weights, or the one in a folder."""
    if Path(name).exists():
        found = load_decoder(Path(name))
        return Runner(found.graph, found.description)
    graph = build(name, TEMPLATE, weights="random")
    return Runner(graph, architecture_of(name)[1])


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default="smollm2-135m")
    parser.add_argument("--prompt", type=int, default=32, help="tokens")
    parser.add_argument("--tokens", type=int, default=64, help="to generate")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    runner = runner_of(given.model)
    prompt = np.random.default_rng(0).integers(0, runner.description.vocabulary, given.prompt)
    runner.start(4).feed([0])
    rates, prompt_rates = [], []
    for number in range(given.rounds):
        sequence = runner.start(given.prompt + given.tokens)
        start = time.perf_counter()
        logits = sequence.feed(prompt)
        begun = time.perf_counter()
        for _ in range(given.tokens):
            logits = sequence.feed([int(logits.argmax())])
        seconds = time.perf_counter() - begun
        prompt_rates.append(given.prompt / (begun - start))
        rates.append(given.tokens / seconds)
        print(f"round {number}: {rates[-1]:.1f} tokens/s", file=sys.stderr)
    bandwidth = read_bytes_per_second(given.rounds)
    bound = bandwidth / runner.weight_bytes
    rate = statistics.median(rates)
    print(f"{given.model}: {rate:.1f} tokens/s, the median, of at most {bound:.1f} on one core")
    print(
        json.dumps(
            {
                "model": given.model,
                "tokens_per_second": rate,
                "rounds_tokens_per_second": rates,
                "prompt_tokens_per_second": statistics.median(prompt_rates),
                "weight_bytes_per_token": runner.weight_bytes,
                "read_bytes_per_second": bandwidth,
                "bound_tokens_per_second": bound,
                "cores": os.cpu_count(),
                "rounds": given.rounds,
            }
        )
    )


if __name__ == "__main__":
    main()
