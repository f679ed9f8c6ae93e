"""The language of schedules: contraction, nest, what follows, legality, text, files."""
