"""A machine in a terminal: its memories, its array, what stands beside it. Renders only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferstack.hardware.accelerator import Accelerator
from inferstack.report import format as shown

if TYPE_CHECKING:
    from rich.console import RenderableType


def to_table(accelerator: Accelerator) -> RenderableType:
    """A row per level, outermost first; the array and the units below."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(f"{accelerator.name}, {shown.quantity(accelerator.clock_hz, 'Hz')}"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("level", no_wrap=True)
    for name in ("capacity", "reads", "writes", "read", "write"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("holds")
    for level in accelerator.levels:
        size = "–" if level.capacity_bytes is None else _binary(level.capacity_bytes)
        table.add_row(
            level.name,
            size,
            f"{level.read_bytes_per_cycle:g} B/cycle",
            f"{level.write_bytes_per_cycle:g} B/cycle",
            f"{level.read_pj_per_byte:g} pJ/B",
            f"{level.write_pj_per_byte:g} pJ/B",
            ", ".join(sorted(role.value for role in level.holds)),
        )
    return Group(table, Text("\n".join(_lines(accelerator))))


def _lines(accelerator: Accelerator) -> list[str]:
    array = accelerator.array
    sides = f"{', '.join(array.row_dims)} on rows, {', '.join(array.column_dims)} on columns"
    kind = f"{array.rows} x {array.columns}, {array.dataflow}"
    lines = [f"array: {kind}; {sides}; {array.mac_pj:g} pJ per MAC"]
    for fan_out in accelerator.fan_outs:
        axes = ", ".join(f"{a.name} {a.size} over {'/'.join(a.dims)}" for a in fan_out.axes)
        lines.append(f"below {fan_out.below}: {axes}")
    unit = accelerator.vector_unit
    if unit is not None:
        lines.append(
            f"units behind the array: {unit.lanes} lanes, {', '.join(sorted(unit.passes))}"
        )
    parts = (("a DMA engine", accelerator.has_dma), ("a host", accelerator.has_host))
    held = [name for name, there in parts if there]
    if held:
        lines.append(f"with {' and '.join(held)}")
    return lines


def _binary(size_bytes: int) -> str:
    for unit, factor in (("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:g} {unit}"
    return f"{size_bytes} B"


def level_records(accelerator: Accelerator) -> list[dict[str, Any]]:
    """A row per level with raw figures; units stand in the names."""
    return [
        {
            "level": level.name,
            "capacity_bytes": level.capacity_bytes,
            "holds": ", ".join(sorted(role.value for role in level.holds)),
            "read_bytes_per_cycle": level.read_bytes_per_cycle,
            "write_bytes_per_cycle": level.write_bytes_per_cycle,
            "read_pj_per_byte": level.read_pj_per_byte,
            "write_pj_per_byte": level.write_pj_per_byte,
        }
        for level in accelerator.levels
    ]
