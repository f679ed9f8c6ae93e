"""Accuracy of the compressed models on real sentence pairs, against the float model.

    python benchmarks/accuracy.py MODEL PAIRS.tsv CALIBRATION.tsv [--seq-len 128] [--sentences 200]

PAIRS: tab separated with a header and columns score, sentence1, sentence2. CALIBRATION: such a
table, of which distinct sentence1 are taken evenly, or a text of one sentence a line. Narration on
stderr, a table on stdout, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inferstack.compress.accuracy import batches_by_length, cosines, embed, spearman
from inferstack.compress.calibration import Calibration, Clipping, Feeds, calibrate
from inferstack.compress.method import methods
from inferstack.ir.graph import Graph
from minilm import load_graph, tokenize


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a tab-separated file with a header."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def calibration_sentences(path: Path, count: int) -> list[str]:
    """At most `count` distinct sentences, evenly over the file."""
    if path.suffix == ".tsv":
        lines = [row["sentence1"] for row in read_table(path)]
    else:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    distinct = [line for line in dict.fromkeys(lines) if line]
    return distinct[:: max(1, len(distinct) // count)][:count]


def calibrated(graph: Graph, feeds: Feeds, clipping: Clipping) -> Calibration:
    """Calibration on batches of similar length."""
    batches = [
        {name: feeds[name][rows, :tokens] for name in graph.inputs}
        for rows, tokens in batches_by_length(graph, feeds)
    ]
    return calibrate(graph, batches, clipping=clipping)


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
    graph = load_graph(given.model, given.seq_len)
    lines = calibration_sentences(given.calibration, given.sentences)
    start = time.perf_counter()
    calibration = calibrated(
        graph, tokenize(given.model, lines, given.seq_len), Clipping(given.clipping)
    )
    print(f"calibrated on {len(lines)} in {time.perf_counter() - start:.1f} s", file=sys.stderr)
    rows = read_table(given.pairs)
    scores = np.array([float(row["score"]) for row in rows])
    sides = [
        tokenize(given.model, [row[column] for row in rows], given.seq_len)
        for column in ("sentence1", "sentence2")
    ]
    figures: dict[str, dict[str, float]] = {}
    figures["fp32"], references = evaluate(graph, sides, None, scores)
    for name, method in methods().items():
        compressed = method.apply(graph, calibration)
        figures[name], _ = evaluate(compressed, sides, references, scores)
    print(f"{'':14} {'mean cosine':>12} {'worst':>8} {'Spearman':>9} {'s per 100':>10}")
    for name, row in figures.items():
        cells = tuple(row.values())
        print(f"{name:14} {cells[0]:12.5f} {cells[1]:8.4f} {cells[2]:9.5f} {cells[3]:10.2f}")
    count = {"pairs": len(rows), "calibration_sentences": len(lines)}
    print(json.dumps({"model": given.model.name, **count, "figures": figures}))


if __name__ == "__main__":
    main()
