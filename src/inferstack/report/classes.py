"""Classes of an image in a terminal. Renders only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferstack.core.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType


def to_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A row per class, the likeliest first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class")
    table.add_column("probability", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(Text(printable(row["label"])), f"{row['probability']:.4f}")
    return table
