"""`Shown`: what every object of the API can do: print, show itself in a notebook, become data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas
    from rich.console import RenderableType

Record = dict[str, Any]
TEXT_COLUMNS = 100
"""Width of a printed table."""


class Shown(ABC):
    """An object that people look at and programs read.

    `print` and a terminal's prompt show its table, a notebook the same as HTML, `to_dict` gives all
    of it as plain data with units in the names, `to_pandas` the table of its `records`.
    """

    __slots__ = ()

    @abstractmethod
    def table(self) -> RenderableType:
        """The table, for rich."""

    @abstractmethod
    def to_dict(self) -> Record:
        """Everything, as dicts, lists, text and numbers that JSON can hold."""

    @abstractmethod
    def records(self) -> list[Record]:
        """The rows of the table, one dict each, with raw numbers."""

    def to_pandas(self) -> pandas.DataFrame:
        """The rows as a data frame. Raises MissingExtraError where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("to_pandas()", "pandas", "pandas") from None
        return pandas.DataFrame.from_records(self.records())

    def __rich__(self) -> RenderableType:
        return self.table()

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=TEXT_COLUMNS, highlight=False, color_system=None)
        with console.capture() as captured:
            console.print(self.table())
        return "\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from inferstack.report.notebook import to_html

        return to_html(self.table())
