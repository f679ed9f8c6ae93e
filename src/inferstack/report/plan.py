"""The mapping of a model in a terminal, as JSON and as a page. No figure is computed here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack import __version__
from inferstack.core.files import MARK, write_atomically
from inferstack.exchange.format import export
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.group import GroupMapping
from inferstack.mapping.group_file import group_text
from inferstack.mapping.mapping_file import mapping_text
from inferstack.report import format as shown
from inferstack.report.page import page, section, write_page
from inferstack.report.score import group_nests
from inferstack.schedule.plan import ModelPlan, PlanRow, Totals

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inferstack.cost.groups.setting import KernelPlan
    from inferstack.cost.scheduled import Scheduled

SCHEMA_VERSION = 1
"""Raised by one when a key changes its meaning or goes; new keys do not raise it."""
LONGEST_NAME = 34


def to_tables(plan: ModelPlan) -> RenderableType:
    """A row per distinct operator and group, the totals, and what is proven; 100 columns wide."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    title = f"{plan.model} on {plan.accelerator}, schedules of least {plan.objective}"
    table = Table(
        title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("operator or group", min_width=14, max_width=LONGEST_NAME, overflow="fold")
    for name in ("times", "cycles", "of bound", "energy", "array", "DRAM", "of least"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("bound by", no_wrap=True)
    for row in plan.rows:
        table.add_row(Text(_short(row)), *_cells(row), row.bound_by)
    return Group(table, Text(_footnote(plan)))


def _short(row: PlanRow) -> str:
    """The last parts of the names: "scores + softmax + context"."""
    return " + ".join(name.rpartition(".")[2] for name in row.groups[0])


def _cells(row: PlanRow) -> tuple[str, ...]:
    cost = row.cost
    return (
        f"{row.times}",
        shown.quantity(cost.cycles, ""),
        _ratio(cost.cycles, row.least.cycles),
        shown.joules(cost.energy_pj),
        shown.percent(row.utilization) if cost.macs else "–",
        shown.quantity(cost.dram_bytes, "B"),
        _ratio(cost.dram_bytes, row.least.dram_bytes),
    )


def _ratio(value: float, least: float) -> str:
    return f"{value / least:.2f}×" if least else "–"


def _footnote(plan: ModelPlan) -> str:
    lines = [f"total: {_total(plan, plan.totals)}"]
    if plan.totals != plan.unfused:
        lines.append(f"unfused: {_total(plan, plan.unfused)}")
        gain = (
            f"{shown.signed_percent(plan.totals.energy_pj / plan.unfused.energy_pj - 1)} energy, "
            f"{shown.signed_percent(plan.totals.cycles / plan.unfused.cycles - 1)} cycles, "
            f"{shown.signed_percent(plan.totals.dram_bytes / plan.unfused.dram_bytes - 1)} DRAM"
        )
        lines.append(f"fusion: {gain}")
    if plan.unproven:
        lines.append(
            f"not proven: {plan.unproven} searches were stopped; the best that was found, the "
            f"optimum of each at most {shown.percent(plan.gap)} lower"
        )
    else:
        lines.append(plan.proof.text())
    lines += [f"assumed: {said}." for said in plan.assumptions]
    lines.append(
        "of bound: cycles over what MACs at the array's peak, row operators and compulsory traffic "
        "take. of least: DRAM bytes over every operand once. all modelled, none simulated."
    )
    return "\n".join(lines)


def _total(plan: ModelPlan, totals: Totals) -> str:
    utilization = totals.macs / (plan.peak_macs_per_cycle * totals.cycles) if totals.cycles else 0.0
    return (
        f"{shown.quantity(totals.cycles, '')} cycles, "
        f"{shown.quantity(totals.cycles / plan.clock_hz, 's')}, {shown.joules(totals.energy_pj)}, "
        f"{shown.quantity(totals.dram_bytes, 'B')} of DRAM, array {shown.percent(utilization)}"
    )


def to_json(plan: ModelPlan) -> dict[str, Any]:
    """Everything in the plan; units stand in the names."""
    return {
        "schema_version": SCHEMA_VERSION,
        "inferstack_version": __version__,
        "model": plan.model,
        "accelerator": plan.accelerator,
        "clock_hz": plan.clock_hz,
        "peak_macs_per_cycle": plan.peak_macs_per_cycle,
        "objective": plan.objective,
        "assumptions": list(plan.assumptions),
        "totals": _totals_json(plan.totals),
        "unfused": _totals_json(plan.unfused),
        "unproven_searches": plan.unproven,
        "unproven_gap": plan.gap,
        "proof": {
            "partitions": plan.proof.partitions,
            "groups": plan.proof.groups,
            "options": plan.proof.options,
            "evaluated": plan.proof.evaluated,
            "misfits": plan.proof.misfits,
            "pruned_by_bound": plan.proof.pruned_by_bound,
        },
        "rows": [_row_json(row) for row in plan.rows],
    }


def _totals_json(totals: Totals) -> Mapping[str, float]:
    return {
        "cycles": totals.cycles,
        "energy_pj": totals.energy_pj,
        "edp_pj_cycles": totals.edp,
        "dram_bytes": totals.dram_bytes,
        "macs": totals.macs,
    }


def _row_json(row: PlanRow) -> dict[str, Any]:
    cost = row.cost
    return {
        "groups": [list(group) for group in row.groups],
        "kinds": list(row.kinds),
        "times": row.times,
        "cycles": cost.cycles,
        "work_cycles": cost.work_cycles,
        "dram_cycles": cost.dram_cycles,
        "bound_cycles": row.least.cycles,
        "energy_pj": cost.energy_pj,
        "array_utilization": row.utilization,
        "macs": cost.macs,
        "dram_bytes": cost.dram_bytes,
        "compulsory_dram_bytes": row.least.dram_bytes,
        "bound_by": row.bound_by,
        "rows_of_tile": cost.tile.rows,
        "by_head": cost.tile.by_head,
        "columns_of_scores": cost.tile.columns,
        "kept_in": cost.level,
        "kept_bytes": cost.kept_bytes,
        "pinned": list(cost.pinned),
        "kernels": [_kernel_json(kernel) for kernel in cost.plans],
    }


def _kernel_json(kernel: KernelPlan) -> dict[str, Any]:
    found = kernel.scheduled
    return {
        "name": kernel.kernel,
        "runs": kernel.runs,
        "on_the_way_out": kernel.inline,
        "chunk": dict(kernel.chunk),
        "certificate": found.proof.text() if found is not None else None,
    }


def to_records(plan: ModelPlan) -> list[dict[str, Any]]:
    """A flat row per distinct operator or group, with raw figures."""
    kept = ["times", "cycles", "bound_cycles", "energy_pj", "array_utilization", "macs"]
    kept += ["dram_bytes", "compulsory_dram_bytes", "bound_by"]
    rows = ((row.name, _row_json(row)) for row in plan.rows)
    return [{"name": name, **{key: row[key] for key in kept}} for name, row in rows]


def write_plan(plan: ModelPlan, path: Path, flag: str = "--out") -> None:
    """Writes the page. Raises InputError where that cannot be done."""
    write_page(path, to_html(plan), flag)


def to_html(plan: ModelPlan) -> str:
    """The whole page: totals, each row between its bound and its cost, and the nests."""
    from inferstack.report.figures import fragment

    title = f"{plan.model} on {plan.accelerator}"
    body = (
        f"<h1>{escape(title)}</h1>\n"
        f'<p class="soft">Schedules of least {escape(plan.objective)}. All figures are modelled.'
        f"</p>\n"
        + section("In all", "", f"<pre>{escape(_footnote(plan))}</pre>")
        + section(
            "Between bound and cost",
            "Latency and DRAM traffic of each distinct operator or group over what no schedule can "
            "go below. 1 is the bound.",
            fragment(bound_figure(plan)),
        )
        + section("Schedules", "Loop nests, outermost loop first.", _nest_blocks(plan))
    )
    return page(f"{title}: inferstack map", body, __version__)


def _nest_blocks(plan: ModelPlan) -> str:
    blocks = []
    for row in plan.rows:
        facts = f"{row.times} times, {row.cost.cycles:,} cycles each, bound by {row.bound_by}"
        blocks.append(
            f'<details><summary>{escape(row.name)} <span class="soft">{escape(facts)}</span>'
            f"</summary>\n<pre>{escape(group_nests(row.cost))}</pre>\n</details>\n"
        )
    return "".join(blocks)


def bound_figure(plan: ModelPlan) -> Any:
    """Each row's latency and DRAM bytes over their bounds, a figure of plotly."""
    import plotly.graph_objects as go

    from inferstack.report.figures import DECISION_COLOURS, INK

    drawn = [row for row in plan.rows if row.least.cycles and row.least.dram_bytes]
    names = [escape(f"{_short(row)} ×{row.times}") for row in drawn]
    figure = go.Figure()
    series = (
        ("latency over its bound", [row.cost.cycles / row.least.cycles for row in drawn]),
        (
            "DRAM bytes over the compulsory",
            [row.cost.dram_bytes / row.least.dram_bytes for row in drawn],
        ),
    )
    for (label, values), colour in zip(series, DECISION_COLOURS[3:], strict=False):
        figure.add_scatter(
            x=values, y=names, mode="markers", name=label, marker={"size": 11, "color": colour}
        )
    figure.add_vline(x=1, line_color=INK)
    figure.update_xaxes(type="log", title_text="times the bound")
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(height=160 + 30 * len(drawn))
    return figure


def write_folder(plan: ModelPlan, folder: Path) -> list[tuple[Path, str]]:
    """Writes plan.json and the page map.html; returns each path with what it is."""
    mappings = folder / "mappings"
    mappings.mkdir(parents=True, exist_ok=True)
    record, picture = folder / "plan.json", folder / "map.html"
    write_atomically(record, json.dumps(to_json(plan), indent=1, allow_nan=False) + "\n")
    write_plan(plan, picture)
    for name, text in mapping_texts(plan).items():
        write_atomically(mappings / f"{name}.yaml", text)
    return [
        (record, "the plan"),
        (picture, "each operator between its bound and its cost"),
        (mappings, "a file per mapping or fused group, for `inferstack map --score`"),
    ]


def mapping_texts(plan: ModelPlan) -> dict[str, str]:
    """A file for every distinct row that has a schedule, by the name of its first operator."""
    texts = {}
    for row in plan.rows:
        cost = row.cost
        if cost.schedules and cost.level is not None and len(cost.kernels) > 1:
            group = GroupMapping(
                accelerator=plan.accelerator,
                kernels=cost.kernels,
                tile=cost.tile,
                level=cost.level,
                pinned=cost.pinned,
                nests=tuple((one.contraction, one.mapping) for one in cost.schedules),
            )
            texts[cost.kernels[0]] = group_text(group, plan.graph)
        elif cost.schedules:
            (found,) = cost.schedules
            texts[cost.kernels[0]] = mapping_text(found.mapping, found.contraction)
    return texts


def write_export(plan: ModelPlan, accelerator: Accelerator, name: str, folder: Path) -> Path:
    """Writes each distinct contraction, unfused, with its mapping, in a tool's format."""
    operators = [(found.contraction, found.mapping) for found in plan.alone]
    place = folder / name
    for file, text in export(name, accelerator, operators).items():
        path = place / file
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"# {MARK}\n{text}")
    return place


def scheduled(plan: ModelPlan) -> list[Scheduled]:
    """The schedules of all contractions, each distinct row once."""
    return [found for row in plan.rows for found in row.cost.schedules]
