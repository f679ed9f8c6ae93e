"""One layer as the mapper sees it: its loops and its operands. Renders only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferstack.mapping.contraction import Contraction
from inferstack.report import format as shown

if TYPE_CHECKING:
    from rich.console import RenderableType


def to_table(contraction: Contraction) -> RenderableType:
    """A row per operand; the loops in the title."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    sizes = ", ".join(f"{name} {extent:,}" for name, extent in contraction.dims)
    title = f"{contraction.name}: {sizes}; {shown.quantity(contraction.macs, 'MAC')}"
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("operand", "role", "moved by"):
        table.add_column(name, no_wrap=True)
    for name in ("elements", "bits"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in to_json(contraction)["operands"]:
        dims = Text(", ".join(row["dims"]))
        cells = (Text(row["slot"]), row["role"], dims, f"{row['elements']:,}", str(row["bits"]))
        table.add_row(*cells)
    return table


def to_json(contraction: Contraction) -> dict[str, Any]:
    """The layer as plain data."""
    return {
        "name": contraction.name,
        "dims": dict(contraction.dims),
        "reductions": sorted(contraction.reductions),
        "macs": contraction.macs,
        "operands": [
            {
                "slot": operand.slot,
                "role": operand.role.value,
                "dims": sorted(operand.dims),
                "elements": operand.stored(contraction.extents),
                "bits": operand.bits,
            }
            for operand in contraction.operands
        ],
    }
