"""What a terminal shows, as HTML for a notebook: real tables, text as it stands. No computation."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Column, Table

_CAPTION = "caption-side: top; text-align: left; font-weight: 600; white-space: nowrap"
_CELL = "padding: 0.1em 0.9em 0.1em 0; text-align: "
_TEXT = "white-space: pre-wrap; line-height: 1.35; font-size: 90%; margin: 0.4em 0"


def to_html(shown: RenderableType) -> str:
    """Tables, texts and groups of them. Colours are left to the notebook, so that dark ones do."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if isinstance(shown, Group):
        return "".join(to_html(part) for part in shown.renderables)
    if isinstance(shown, Table):
        return _table(shown)
    text = shown.plain if isinstance(shown, Text) else str(shown)
    return f'<pre style="{_TEXT}">{escape(text)}</pre>'


def _table(table: Table) -> str:
    title = ""
    if table.title is not None:
        title = f'<caption style="{_CAPTION}">{_cell(table.title)}</caption>'
    heads = "".join(f"<th{_side(c)}>{_cell(c.header)}</th>" for c in table.columns)
    columns = [[_cell(cell) for cell in column.cells] for column in table.columns]
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{_side(column)}>{cell}</td>"
            for column, cell in zip(table.columns, row, strict=True)
        )
        + "</tr>"
        for row in zip(*columns, strict=True)
    )
    return f"<table>{title}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _side(column: Column) -> str:
    return f' style="{_CELL}{"right" if column.justify == "right" else "left"}"'


def _cell(cell: object) -> str:
    from rich.text import Text

    plain = cell.plain if isinstance(cell, Text) else Text.from_markup(str(cell)).plain
    return escape(plain).replace("\n", "<br>")
