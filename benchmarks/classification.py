"""Accuracy of a classifier: a linear head on the embeddings of each method's model.

    pip install -e '.[benchmarks]'
    python benchmarks/classification.py MODEL TRAIN.csv TEST.csv CALIBRATION [--per-label 40]

MODEL: a Hugging Face folder of a sentence encoder. TRAIN, TEST: CSV with the columns text and
category, such as BANKING77. CALIBRATION: texts that give the integers their ranges. The head is a
logistic regression (C=10) trained on the embeddings of the very model that it is tested on, and
once on those of fp32 ("fp32's head"). A table on stdout, and one line of JSON last.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

import inferstack as ist
from inferstack.compress.method import methods

FLOAT = "fp32"


def labelled(path: Path, per_label: int | None) -> tuple[list[str], list[str]]:
    """Texts and labels, at most so many of each label, in the file's order."""
    texts, labels, seen = list[str](), list[str](), dict[str, int]()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            label = row["category"]
            seen[label] = seen.get(label, 0) + 1
            if per_label is None or seen[label] <= per_label:
                texts.append(row["text"])
                labels.append(label)
    return texts, labels


def main() -> None:
    """Parse, embed, fit, print."""
    from sklearn.linear_model import LogisticRegression

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("--per-label", type=int, help="of the training texts; all by default")
    parser.add_argument("--seq-len", type=int, default=64)
    given = parser.parse_args()
    train, test = labelled(given.train, given.per_label), labelled(given.test, None)
    model = ist.load(given.model)
    encoders = {FLOAT: model.encoder(given.seq_len)}
    for name in sorted(methods()):
        encoders[name] = model.quantize(given.calibration, seq_len=given.seq_len, method=name)
    vectors: dict[str, tuple[npt.NDArray[np.float32], ...]] = {
        name: tuple(encoder.embed(texts) for texts in (train[0], test[0]))
        for name, encoder in encoders.items()
    }
    heads = {
        name: LogisticRegression(C=10, max_iter=1000).fit(first, train[1])
        for name, (first, _) in vectors.items()
    }
    found = {
        name: {
            "own_head": float(heads[name].score(second, test[1])),
            "fp32_head": float(heads[FLOAT].score(second, test[1])),
        }
        for name, (_, second) in vectors.items()
    }
    print(f"{len(train[0]):,} texts train, {len(test[0]):,} test, {len(set(test[1]))} labels")
    print(f"{'':14}{'own head':>10}{'of fp32':>10}")
    for name, row in found.items():
        print(f"{name:14}{100 * row['own_head']:9.2f}%{100 * row['fp32_head']:9.2f}%")
    print(json.dumps({"train": len(train[0]), "test": len(test[0]), "accuracy": found}))


if __name__ == "__main__":
    main()
