"""The cost of neighbours that share tiles on the chip: a fused group."""
