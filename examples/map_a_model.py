"""Every operator of a model mapped and fused, and what fusion gains."""

import inferstack as ist

model = ist.load("minilm-l6")
plan = model.map("peers-target", seq_len=64, objective="energy")
print(plan)

for path, what in plan.save("mapped"):
    print(f"wrote {path}: {what}")
