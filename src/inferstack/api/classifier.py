"""`Classifier`: a model that names what an image shows, ready to run in floating point."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inferstack.api.choices import SHOWN_CLASSES
from inferstack.api.shown import Record, Shown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inferstack.models.image_classifier import ImageClassifier


class Classes(Shown):
    """The likeliest classes of an image, the first first."""

    __slots__ = ("_rows",)

    def __init__(self, rows: list[Record]) -> None:
        self._rows = rows

    @property
    def label(self) -> str:
        """Of the likeliest."""
        return str(self._rows[0]["label"])

    def table(self) -> RenderableType:
        """A row per class, for rich."""
        from inferstack.report.classes import to_table

        return to_table(self._rows)

    def to_dict(self) -> Record:
        """All rows."""
        return {"classes": self._rows}

    def records(self) -> list[Record]:
        """A row per class: label, number, probability."""
        return self._rows


class Classifier:
    """An image in, its classes out. model: the graph, what prepares an image, and the labels."""

    __slots__ = ("model",)

    def __init__(self, model: ImageClassifier) -> None:
        self.model = model

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.model.name

    def classify(self, image: str | Path, *, top: int = SHOWN_CLASSES) -> Classes:
        """Of an image file. top: so many of the likeliest classes.

        Raises DataError for a file that is no image, InputError, and MissingExtraError without
        Pillow.
        """
        import numpy as np

        from inferstack.core.errors import InputError
        from inferstack.models.image_classifier import SCORES
        from inferstack.models.image_file import read_image
        from inferstack.models.scenario import check_size
        from inferstack.ops.execute import execute
        from inferstack.ops.shares import softmax

        check_size("--top", top)
        path = Path(image)
        pixels = self.model.processor.of(str(path), read_image(path, self.model.channels))
        with np.errstate(over="ignore", invalid="ignore"):
            scores = execute(self.model.graph, {"image": pixels[None]})[SCORES][0]
        if not np.isfinite(scores).all():
            hint = "the weights are too large for float32"
            raise InputError("classification", "the scores are not finite", hint=hint)
        shares = softmax(scores.astype(np.float64))
        order = np.argsort(-shares, kind="stable")[:top]
        labels = self.model.labels
        return Classes(
            [
                {"label": labels[at], "number": int(at), "probability": float(shares[at])}
                for at in order
            ]
        )

    def __repr__(self) -> str:
        return f"<Classifier {self.name}: {len(self.model.labels):,} classes>"


def loaded_classifier(folder: Path) -> Classifier:
    """The checkpoint as it is, in float32. Raises CheckpointError."""
    from inferstack.models.image_classifier import load_image_classifier

    return Classifier(load_image_classifier(folder))
