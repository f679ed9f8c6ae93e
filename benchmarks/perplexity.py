"""Perplexity and speed of a real decoder, beside transformers' on the same tokens and windows.

    python benchmarks/perplexity.py MODEL TEXT [--tokens 4096] [--window 1024] [--stride 512]

MODEL: a Hugging Face folder or a GGUF file, which transformers reads with the packages `gguf` and
`accelerate`.
TEXT: a file, read as it is. Narration on stderr, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from inferstack.api.decoder import loaded_decoder
from inferstack.generate.perplexity import perplexity
from inferstack.models.data_files import LARGEST_TEXT_BYTES, text_of


def theirs(place: Path) -> Any:
    """The model as transformers reads it, in float32."""
    import torch
    import transformers

    torch.set_num_threads(1)
    folder, more = (place, {}) if place.is_dir() else (place.parent, {"gguf_file": place.name})
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **more)
    return model.eval()


def by_transformers(model: Any, ids: Sequence[int], window: int, stride: int) -> tuple[float, int]:
    """(perplexity, tokens scored), as transformers' documentation does it."""
    import torch

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


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--tokens", type=int, default=4096, help="the first of the text")
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--stride", type=int, default=512)
    given = parser.parse_args()
    decoder = loaded_decoder(given.model)
    ids = decoder.tokenizer.encode(text_of(given.text, LARGEST_TEXT_BYTES))[: given.tokens]
    start = time.perf_counter()
    ours = perplexity(decoder.runner, ids, window=given.window, stride=given.stride)
    seconds = time.perf_counter() - start
    print(f"ours: {ours.value:.5f} in {seconds:.0f} s", file=sys.stderr)
    model = theirs(given.model)
    start = time.perf_counter()
    value, scored = by_transformers(model, ids, given.window, given.stride)
    their_seconds = time.perf_counter() - start
    print(f"perplexity {ours.value:.4f}, of transformers {value:.4f}, over {scored:,} tokens")
    print(
        json.dumps(
            {
                "model": decoder.name,
                "perplexity": ours.value,
                "perplexity_of_transformers": value,
                "scored": ours.scored,
                "scored_by_transformers": scored,
                "window": ours.window,
                "stride": ours.stride,
                "seconds": seconds,
                "seconds_of_transformers": their_seconds,
            }
        )
    )


if __name__ == "__main__":
    main()
