"""Two schedules side by side in a terminal. Renders only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferstack.report import format as shown

if TYPE_CHECKING:
    from rich.console import RenderableType


def to_table(
    names: tuple[str, str], rows: Sequence[Mapping[str, Any]], nests: Sequence[str]
) -> RenderableType:
    """A row per figure, and the lines that only one of the two nests has."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in (*names, "ratio"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for row in rows:
        sides = (_figure(row["figure"], row[side]) for side in ("first", "second"))
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.3f}×"
        table.add_row(row["figure"].removesuffix(" pJ"), *sides, ratio)
    if not nests:
        return Group(table, Text("the nests are the same"))
    head = f"- only {names[0]}, + only {names[1]}\n"
    return Group(table, Text(head + "\n".join(nests)))


def _figure(name: str, value: float) -> str:
    return shown.joules(value) if name == "energy pJ" else f"{value:,.0f}"
