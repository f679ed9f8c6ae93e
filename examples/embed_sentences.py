"""The same sentences through the float model and through its integer twin."""

from pathlib import Path

import inferstack as ist

ROOT = Path(__file__).parents[1]
folder, _ = ist.fetch_sample(into=ROOT / "samples")

lines = (ROOT / "data" / "sentences.txt").read_text(encoding="utf-8").splitlines()
model = ist.load(folder)
floating = model.encoder(seq_len=32)
integer = model.quantize(lines[:24], seq_len=32)

sentences = [
    "A dog runs over the grass.",
    "A puppy plays in a field.",
    "The bank raised its rates.",
]
for encoder in (floating, integer):
    print(encoder)
    vectors = encoder.embed(sentences)
    print((vectors @ vectors.T).round(3))

accuracy = integer.accuracy_against(floating, lines[24:48])
print(f"cosine of integer against float: mean {accuracy.mean_cosine:.4f}")
