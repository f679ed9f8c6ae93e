"""Decoders that run: a graph prepared once, its caches in place, a token at a time."""
