"""A decoder in integers beside float32: tokens a second, and perplexity on windows of a text.

    python benchmarks/integers.py MODEL DATA CALIBRATION [--seq-len 128] [--windows 32] [--rounds 5]

MODEL: a Hugging Face folder or a GGUF file. DATA, CALIBRATION: texts; windows are spread over each.
A round writes 64 tokens with one model, then with the other; medians count. A table on stdout, and
one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import inferstack as ist
from inferstack.api.decoder import Decoder
from inferstack.compress.method import method
from inferstack.compress.perplexity import spread
from inferstack.core.progress import silent
from inferstack.optimize.stages import Stages
from inferstack.optimize.tasks.text import TASK

PROMPT, TOKENS = "The history of the Roman Empire begins with", 64
METHODS = ("int8-float", "integer-only")


def rate(decoder: Decoder) -> float:
    """Tokens a second, the prompt's time included."""
    written = decoder.stream(PROMPT, max_tokens=TOKENS)
    start = time.perf_counter()
    "".join(written)
    return len(written.ids) / (time.perf_counter() - start)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("--seq-len", type=int, default=128)
    parser.add_argument("--windows", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    model = ist.load(given.model)
    both = model.decoder(), model.decoder(given.calibration)
    rounds = [tuple(rate(one) for one in both) for _ in range(given.rounds + 1)][1:]
    found = {
        name: statistics.median(one[at] for one in rounds)
        for at, name in enumerate(("float_tokens_per_s", "integer_tokens_per_s"))
    }
    with tempfile.TemporaryDirectory() as folder:
        evaluation = TASK.prepare(
            given.model,
            given.seq_len,
            texts=TASK.read(given.data)[0],
            calibration=TASK.read(given.calibration)[0],
            pairs=None,
            stages=Stages(folder=Path(folder)),
        )
        measured = spread(evaluation.measured, given.windows)
        evaluation = replace(evaluation, measured=measured)
        ranges = evaluation.calibrate(silent)
        for name in METHODS:
            graph = method(name).apply(evaluation.graph, ranges)
            quality = evaluation.quality(graph, name, silent)
            found["perplexity_float"] = quality.value("perplexity_float")
            found[f"perplexity_{name}"] = quality.value("perplexity")
    for key, value in found.items():
        print(f"{key:26}{value:10.3f}")
    cpu = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(json.dumps({"machine": cpu, "windows": len(measured), "rounds": rounds, **found}))


if __name__ == "__main__":
    main()
