"""Accuracy of the compressed models by length, on texts that fill it, against the float model.

    python benchmarks/accuracy_by_length.py MODEL SENTENCES.txt [--lengths 16 32 64 128 256 512]

MODEL: a Hugging Face folder. SENTENCES: one a line; every third calibrates, as in `inferstack
optimize`, and texts of as many tokens as asked for are strung together from the others. Narration
on stderr, a table on stdout, and one line of JSON last. --figure F.svg draws it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inferstack.compress.accuracy import cosines, embed, feeds_by_length
from inferstack.compress.calibration import calibrate
from inferstack.compress.method import methods
from inferstack.models.data import read_sentences
from inferstack.models.hugging_face import load_checkpoint
from inferstack.optimize.tasks.sentences import split

Rows = list[dict[str, Any]]
LENGTHS = (16, 32, 64, 128, 256, 512)
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
WIDTH, HEIGHT, LEFT, TOP = 640, 340, 60, 20
PLOT_WIDTH, PLOT_HEIGHT = 430, 260
LEAST_COSINE = 0.98


def long_texts(sentences: Sequence[str], words: int, count: int) -> list[str]:
    """Texts of at least `words` words, of sentences drawn with a fixed seed."""
    order, texts = random.Random(0), list[str]()
    for _ in range(count):
        text: list[str] = []
        while len(text) < words:
            text += order.choice(sentences).split()
        texts.append(" ".join(text))
    return texts


def measure(model: Path, tokens: int, sentences: Sequence[str], count: int) -> Rows:
    """Cosines of every method at one length."""
    checkpoint = load_checkpoint(model, seq_len=tokens)
    graph, encode = checkpoint.graph, checkpoint.tokenizer.encode
    calibrating, others = split(sentences)
    calibration = calibrate(graph, feeds_by_length(graph, encode(calibrating)))
    feeds = encode(long_texts(others, tokens, count))
    references = embed(graph, feeds)
    rows: Rows = []
    for name, method in methods().items():
        similarity = cosines(references, embed(method.apply(graph, calibration), feeds))
        rows.append(
            {
                "tokens": tokens,
                "method": name,
                "mean_cosine": float(similarity.mean()),
                "worst_cosine": float(similarity.min()),
            }
        )
    return rows


def figure(rows: Rows, lengths: Sequence[int]) -> str:
    """Means as lines, worst as dots, over the length: an SVG."""
    least = min(LEAST_COSINE, *(row["worst_cosine"] for row in rows))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#57606a">'
    )
    parts = [head]

    def place(tokens: float, cosine: float) -> tuple[float, float]:
        x = LEFT + 20 + lengths.index(int(tokens)) * (PLOT_WIDTH - 40) / max(1, len(lengths) - 1)
        return round(x, 1), round(TOP + (1 - cosine) / (1 - least) * PLOT_HEIGHT, 1)

    for step in range(6):
        cosine = 1 - step * (1 - least) / 5
        _, y = place(lengths[0], cosine)
        parts.append(
            f'<path d="M{LEFT} {y}h{PLOT_WIDTH}" stroke="#8b949e" stroke-opacity=".3"/>'
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{cosine:.3f}</text>'
        )
    for tokens in lengths:
        x, _ = place(tokens, 1)
        parts.append(
            f'<text x="{x}" y="{TOP + PLOT_HEIGHT + 20}" text-anchor="middle">{tokens}</text>'
        )
    parts.append(
        f'<text x="{LEFT + PLOT_WIDTH / 2}" y="{TOP + PLOT_HEIGHT + 42}" text-anchor="middle">'
        "tokens of the texts; lines: mean cosine to fp32, dots: worst</text>"
    )
    for index, name in enumerate(dict.fromkeys(str(row["method"]) for row in rows)):
        colour, own = COLOURS[index % len(COLOURS)], [r for r in rows if r["method"] == name]
        line = " ".join("{},{}".format(*place(row["tokens"], row["mean_cosine"])) for row in own)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for row in own:
            x, y = place(row["tokens"], row["worst_cosine"])
            parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>')
        parts.append(
            f'<text x="{LEFT + PLOT_WIDTH + 12}" y="{TOP + 20 + 22 * index}" fill="{colour}">'
            f"{name}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Parse, measure every length, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--texts", type=int, default=24, help="texts of each length")
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    sentences, rows = read_sentences(given.sentences), Rows()
    for tokens in given.lengths:
        print(f"{tokens} tokens", file=sys.stderr)
        rows += measure(given.model, tokens, sentences, given.texts)
    print(f"{'tokens':>6} {'method':14} {'mean cosine':>12} {'worst':>8}")
    for row in rows:
        cells = f"{row['mean_cosine']:12.4f} {row['worst_cosine']:8.4f}"
        print(f"{row['tokens']:6} {row['method']:14} {cells}")
    if given.figure:
        given.figure.write_text(figure(rows, list(given.lengths)), encoding="utf-8")
    print(json.dumps({"model": given.model.name, "texts": given.texts, "rows": rows}))


if __name__ == "__main__":
    main()
