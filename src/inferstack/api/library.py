"""`named_models`: the models that have a name here, with their family, parameters and source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferstack.api.shown import Record, Shown

if TYPE_CHECKING:
    from rich.console import RenderableType


class Models(Shown):
    """Named models, one a row."""

    __slots__ = ("_rows",)

    def __init__(self, rows: list[Record]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def table(self) -> RenderableType:
        """A row per model, for rich."""
        from inferstack.report.library import to_table

        return to_table(self._rows)

    def to_dict(self) -> Record:
        """All rows."""
        return {"models": self._rows}

    def records(self) -> list[Record]:
        """A row per model: name, model_type, parameters, source."""
        return self._rows


def named_models(model_type: str | None = None) -> Models:
    """The named models, of one `model_type` of Hugging Face or of all; parameters are counted from
    the graph, those of a sentence encoder without its pooler. Raises UnknownNameError."""
    from inferstack.models.catalogue import catalogue

    rows = [
        {
            "name": entry.name,
            "model_type": entry.model_type,
            "parameters": entry.parameters,
            "source": entry.source,
        }
        for entry in catalogue(model_type)
    ]
    return Models(rows)
