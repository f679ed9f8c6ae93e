"""Accuracy of the compressed models on real sentence pairs, against the float model.

    python benchmarks/accuracy.py MODEL PAIRS.tsv CALIBRATION.tsv [--seq-len 128] [--sentences 200]

MODEL: a Hugging Face folder. PAIRS: as `inferstack.models.data.read_pairs` takes them.
CALIBRATION: such pairs (.tsv), of which the first sentences count, or a text of one sentence a
line; distinct ones are taken evenly. Narration on stderr, a table on stdout, and one line of JSON
last.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inferstack.compress.accuracy import cosines, embed, feeds_by_length, spearman
from inferstack.compress.calibration import Clipping, Feeds, calibrate
from inferstack.compress.method import methods
from inferstack.ir.graph import Graph
from inferstack.models.data import read_pairs, read_sentences
from inferstack.models.hugging_face import load_checkpoint


def calibration_sentences(path: Path, count: int) -> list[str]:
    """At most `count` distinct sentences, evenly over the file."""
    lines = read_pairs(path).first if path.suffix == ".tsv" else read_sentences(path)
    distinct = list(dict.fromkeys(lines))
    return distinct[:: max(1, len(distinct) // count)][:count]


def evaluate(
    graph: Graph, sides: Sequence[Feeds], references: Sequence[Any] | None, scores: Any
) -> tuple[dict[str, float], list[Any]]:
    """Figures of one graph over both sentences of each pair, and its embeddings."""
    start = time.perf_counter()
    embeddings = [embed(graph, side) for side in sides]
    seconds = time.perf_counter() - start
    similarity = np.concatenate(
        [cosines(a, b) for a, b in zip(references or embeddings, embeddings, strict=True)]
    )
    figures = {
        "mean_cosine": float(similarity.mean()),
        "worst_cosine": float(similarity.min()),
        "spearman": spearman(cosines(*embeddings), scores),
        "seconds_per_100_sentences": 100 * seconds / len(similarity),
    }
    return figures, embeddings


def main() -> None:
    """Parse, run every method, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("--seq-len", type=int, default=128)
    parser.add_argument("--sentences", type=int, default=200, help="calibration sentences, at most")
    parser.add_argument("--clipping", type=Clipping, choices=list(Clipping), default=Clipping.MSE)
    given = parser.parse_args()
    checkpoint = load_checkpoint(given.model, seq_len=given.seq_len)
    graph, encode = checkpoint.graph, checkpoint.tokenizer.encode
    lines = calibration_sentences(given.calibration, given.sentences)
    start = time.perf_counter()
    batches = feeds_by_length(graph, encode(lines))
    calibration = calibrate(graph, batches, clipping=Clipping(given.clipping))
    print(f"calibrated on {len(lines)} in {time.perf_counter() - start:.1f} s", file=sys.stderr)
    pairs = read_pairs(given.pairs)
    scores = np.array(pairs.scores)
    sides = [encode(pairs.first), encode(pairs.second)]
    figures: dict[str, dict[str, float]] = {}
    figures["fp32"], references = evaluate(graph, sides, None, scores)
    for name, method in methods().items():
        compressed = method.apply(graph, calibration)
        figures[name], _ = evaluate(compressed, sides, references, scores)
    print(f"{'':14} {'mean cosine':>12} {'worst':>8} {'Spearman':>9} {'s per 100':>10}")
    for name, row in figures.items():
        cells = tuple(row.values())
        print(f"{name:14} {cells[0]:12.5f} {cells[1]:8.4f} {cells[2]:9.5f} {cells[3]:10.2f}")
    count = {"pairs": len(scores), "calibration_sentences": len(lines)}
    print(json.dumps({"model": checkpoint.name, **count, "figures": figures}))


if __name__ == "__main__":
    main()
