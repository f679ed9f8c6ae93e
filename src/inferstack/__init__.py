"""InferStack: full-stack optimization of Transformer inference."""

__version__ = "0.1.0"
