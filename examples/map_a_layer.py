"""The proven best schedule of one layer on one machine, and the file that keeps it."""

import inferstack as ist

layer = ist.load("bert-base").layer("layer0.intermediate", seq_len=128)
print(layer)

schedule = layer.map("peers-target", objective="energy")
print(schedule)
print(schedule.certificate)

path = schedule.save("intermediate.yaml")
again = ist.load_mapping(path)
print(f"\n{path} costs {again.cycles:,} cycles, as before: {again.cycles == schedule.cycles}")
