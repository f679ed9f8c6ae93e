"""The searches: nests of any machine, tiles of programs, fused groups, heuristics of others."""
