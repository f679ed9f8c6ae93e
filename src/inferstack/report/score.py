"""One mapping with its cost, in a terminal and as JSON. No figure is computed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferstack.cost.figures import Cost
from inferstack.cost.groups.group import GroupCost
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
    ideal = cost.macs / (accelerator.peak_macs_per_cycle * cost.cycles) if cost.cycles else 0.0
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


def group_nests(cost: GroupCost) -> str:
    """The loops of a group and the nest of each of its contractions, to read."""
    lines = list[str]()
    if cost.level is not None and len(cost.plans) > 1:
        tile = "all rows" if cost.tile.rows is None else f"tiles of {cost.tile.rows} rows"
        heads = ", one head at a time" if cost.tile.by_head else ""
        if cost.tile.columns is not None:
            heads += f", {cost.tile.columns} columns of scores at a time by the running maximum"
        pinned = f"; pinned there: {', '.join(cost.pinned)}" if cost.pinned else ""
        lines.append(
            f"{tile}{heads}; results stay in {cost.level} ({cost.kept_bytes:,} bytes at most)"
            f"{pinned}"
        )
    for kernel in cost.plans:
        how = ", on the way out" if kernel.inline else ""
        lines.append(f"{kernel.kernel}: {kernel.runs:,} times{how}")
        found = kernel.scheduled
        if found is not None:
            text = readable(found.mapping, found.contraction, found.accelerator)
            lines += [f"  {line}" for line in text.splitlines()]
            if found.certificate is not None:
                lines.append(f"  {found.certificate.text()}")
    return "\n".join(lines)


def group_to_text(cost: GroupCost, accelerator: Accelerator) -> RenderableType:
    """A fused group, to read."""
    from rich.text import Text

    peak = accelerator.peak_macs_per_cycle
    ideal = cost.macs / (peak * cost.cycles) if cost.cycles else 0.0
    lines = (
        f"{cost.cycles:,} cycles, {shown.quantity(cost.cycles / accelerator.clock_hz, 's')}, bound "
        f"by {cost.bound_by}; array {shown.percent(ideal)}\n"
        f"{shown.joules(cost.energy_pj)}; {cost.dram_bytes:,} bytes of DRAM"
    )
    return Text(f"{group_nests(cost)}\n\n{lines}")


def group_to_json(cost: GroupCost, accelerator: Accelerator) -> dict[str, Any]:
    """The cost of a fused group; units stand in the names."""
    return {
        "schema_version": 1,
        "group": list(cost.kernels),
        "accelerator": accelerator.name,
        "cycles": cost.cycles,
        "work_cycles": cost.work_cycles,
        "dram_cycles": cost.dram_cycles,
        "energy_pj": cost.energy_pj,
        "macs": cost.macs,
        "dram_bytes": cost.dram_bytes,
        "bound_by": cost.bound_by,
        "kept_in": cost.level,
        "kept_bytes": cost.kept_bytes,
        "kernels": [
            {"name": plan.kernel, "runs": plan.runs, "on_the_way_out": plan.inline}
            for plan in cost.plans
        ],
    }
