"""One mapping with its cost, in a terminal and as JSON. No figure is computed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferstack.cost.cost import Cost
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Mapping
from inferstack.mapping.text import readable
from inferstack.report import format as shown

if TYPE_CHECKING:
    from rich.console import RenderableType


def to_text(
    mapping: Mapping, contraction: Contraction, accelerator: Accelerator, cost: Cost
) -> RenderableType:
    """The nest, what each level holds and moves, and the cost."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("level", no_wrap=True)
    for name in ("holds", "of", "reads", "writes"):
        table.add_column(name, justify="right", no_wrap=True)
    for level in accelerator.levels:
        here = [access for (name, _), access in cost.accesses.items() if name == level.name]
        limit = level.usable_bytes
        table.add_row(
            level.name,
            shown.quantity(cost.occupancy_bytes.get(level.name, 0), "B"),
            "–" if limit is None else shown.quantity(limit, "B"),
            shown.quantity(sum(access.read_bytes for access in here), "B"),
            shown.quantity(sum(access.written_bytes for access in here), "B"),
        )
    ideal = cost.macs / (accelerator.array.macs_per_cycle * cost.cycles) if cost.cycles else 0.0
    least = cost.compulsory_dram_bytes
    over = f", {cost.dram_bytes / least:.2f} times the compulsory" if least else ""
    lines = (
        f"{cost.cycles:,} cycles, {shown.quantity(cost.cycles / accelerator.clock_hz, 's')}, bound "
        f"by {cost.bound_by}; array {shown.percent(ideal)}\n"
        f"{shown.joules(cost.energy_pj)}; {cost.dram_bytes:,} bytes of DRAM{over}"
    )
    return Group(Text(readable(mapping, contraction, accelerator)), table, Text(lines))


def to_json(mapping: Mapping, accelerator: Accelerator, cost: Cost) -> dict[str, Any]:
    """The cost; units stand in the names."""
    return {
        "schema_version": 1,
        "operator": mapping.operator,
        "accelerator": accelerator.name,
        "cycles": cost.cycles,
        "energy_pj": cost.energy_pj,
        "macs": cost.macs,
        "dram_bytes": cost.dram_bytes,
        "compulsory_dram_bytes": cost.compulsory_dram_bytes,
        "bound_by": cost.bound_by,
        "busy_cycles": dict(cost.busy_cycles),
        "occupancy_bytes": dict(cost.occupancy_bytes),
        "accesses": [
            {
                "level": level,
                "slot": slot,
                "read_bytes": access.read_bytes,
                "written_bytes": access.written_bytes,
            }
            for (level, slot), access in cost.accesses.items()
        ],
    }
