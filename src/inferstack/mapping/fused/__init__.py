"""Fusion of neighbours: kernels of a graph, the tiles they share, cost of a group, the choice."""
