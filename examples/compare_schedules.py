"""Two schedules of one layer side by side: the proven best against Gemmini's own heuristic."""

import inferstack as ist

layer = ist.load("bert-base").layer("layer0.query", seq_len=128)
best = layer.map("gemmini", objective="energy")
heuristic = layer.heuristic("gemmini")
print(ist.compare(heuristic, best, names=("heuristic", "optimal")))
