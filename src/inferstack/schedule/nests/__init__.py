"""Exact search over general nests: skeletons, chains of steps, branch and bound, certificate."""
