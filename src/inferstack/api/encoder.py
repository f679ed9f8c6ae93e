"""`Encoder`: a sentence encoder that runs, in floating point or as integers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inferstack.api.arguments import sentence_list

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from inferstack.compress.accuracy import Accuracy
    from inferstack.ir.graph import Graph
    from inferstack.models.tokenizer import SentenceTokenizer


class Encoder:
    """Sentences in, embeddings out, by the reference semantics of the operators.

    graph: the model. tokenizer: cuts sentences to its sequence length.
    """

    __slots__ = ("graph", "name", "tokenizer")

    def __init__(self, name: str, graph: Graph, tokenizer: SentenceTokenizer) -> None:
        self.name, self.graph, self.tokenizer = name, graph, tokenizer

    @property
    def is_integer(self) -> bool:
        """Whether its matmuls compute in integers."""
        from inferstack.mapping.kernels import is_quantized

        return is_quantized(self.graph)

    def embed(self, sentences: Sequence[str]) -> npt.NDArray[np.float32]:
        """The embeddings (sentences, d). Raises DataError without sentences."""
        from inferstack.compress.accuracy import embed

        return embed(self.graph, self.tokenizer.encode(sentence_list(sentences)))

    def accuracy_against(self, reference: Encoder, sentences: Sequence[str]) -> Accuracy:
        """Mean and worst cosine of its embeddings with those of a reference."""
        from inferstack.compress.accuracy import accuracy

        feeds = self.tokenizer.encode(sentence_list(sentences))
        return accuracy(reference.graph, self.graph, feeds)

    def quantized(self, sentences: Sequence[str], *, method: str = "integer-only") -> Encoder:
        """Itself in integers, with ranges from `sentences`.

        method: integer-only, or int8-float for int8 matmuls between operators in floating point.
        """
        from inferstack.compress.accuracy import feeds_by_length
        from inferstack.compress.calibration import calibrate
        from inferstack.compress.method import method as named

        chosen = named(method)
        feeds = self.tokenizer.encode(sentence_list(sentences))
        calibration = calibrate(self.graph, feeds_by_length(self.graph, feeds))
        graph = chosen.apply(self.graph, calibration)
        return Encoder(f"{self.name}, {method}", graph, self.tokenizer)

    def save(self, folder: str | Path) -> Path:
        """Writes graph.json and model.safetensors."""
        from inferstack.compress.artifact import save

        save(self.graph, Path(folder))
        return Path(folder)

    def __repr__(self) -> str:
        kind = "integers" if self.is_integer else "floating point"
        tokens, operators = self.tokenizer.tokens, len(self.graph.operators)
        return f"<Encoder {self.name}: {operators} operators in {kind}, {tokens} tokens>"


def float_encoder(folder: Path, seq_len: int) -> Encoder:
    """The checkpoint as it is. Raises CheckpointError."""
    from inferstack.models.hugging_face import load_checkpoint

    checkpoint = load_checkpoint(folder, seq_len=seq_len)
    return Encoder(checkpoint.name, checkpoint.graph, checkpoint.tokenizer)


def saved_encoder(model: Path, folder: Path, seq_len: int) -> Encoder:
    """A model that `optimize` or `Encoder.save` wrote, with the tokenizer of its checkpoint."""
    from inferstack.compress.artifact import load
    from inferstack.models.hugging_face import load_checkpoint

    graph = load(folder)
    checkpoint = load_checkpoint(model, seq_len=seq_len)
    return Encoder(f"{checkpoint.name}, from {folder}", graph, checkpoint.tokenizer)
