"""How quantized checkpoints store weights: one file per method, found by being there."""
