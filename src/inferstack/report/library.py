"""The named models in a terminal. Renders only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferstack.report import format as shown

if TYPE_CHECKING:
    from rich.console import RenderableType


def to_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A row per model, types together."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("type", no_wrap=True)
    table.add_column("name", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("source")
    before = ""
    for row in rows:
        kind = row["model_type"]
        count = shown.quantity(row["parameters"], "")
        table.add_row("" if kind == before else kind, row["name"], count, row["source"])
        before = kind
    return table
