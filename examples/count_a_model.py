"""What BERT-Base asks for: operations, bytes and memory, layer by layer, before any hardware."""

import inferstack as ist

model = ist.load("bert-base")
counts = model.count((128, 512), by="part")
print(counts)

# The same by operator, as a data frame if pandas is there, as dicts in any case.
heaviest = max(counts.by("operator").records(), key=lambda row: row["flops"])
print(
    f"the most operations: {heaviest['operator']}, {heaviest['flops']:,} at {heaviest['seq_len']}"
)
