"""What a model asks for, as a terminal table, as JSON and as CSV. No figure is computed here."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferstack import __version__
from inferstack.analysis.convention import Mask
from inferstack.analysis.count import Count, OperatorCount, by_kind, by_operator, by_part, label
from inferstack.analysis.workload import Analysis, Task
from inferstack.models.layers import LayerSet
from inferstack.report import format as shown

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from inferstack.analysis.roofline import Roof
    from inferstack.cost.operator_time import OperatorTime

SCHEMA_VERSION = 1
"""Raised by one when a key changes its meaning or goes; new keys do not raise it."""

GROUPS: Mapping[str, Callable[[Sequence[OperatorCount]], dict[str, Count]]] = {
    "part": by_part,
    "kind": by_kind,
    "operator": by_operator,
}
PART_ORDER = ("embedding", "attention projection", "attention", "feed-forward", "other", "head")
TASK_TITLES = {
    Task.ENCODE: "one pass over the whole sequence",
    Task.PREFILL: "one pass over a prompt",
    Task.DECODE: "the step that makes the last token, the others cached",
    Task.GENERATE: "all tokens of the sequence, one step each, no prompt",
}


MASK_TITLES = {
    Mask.CAUSAL: "causal, each pair of query and key that a token attends to counts once",
    Mask.FULL: "full, masked pairs of query and key count too",
}


_TIMES = {
    "exact": "time: at least, what MACs at the peak of all arrays, the units, the host and every "
    "8-bit operand once through DRAM take, masked pairs too, nothing fused; map finds schedules.",
    "survey": "time: the survey's model, 8-bit operands in square tiles, masked pairs too, nothing "
    "fused; what no unit supports runs on the host.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnMachine:
    """A workload's times on a machine, and its roof."""

    roof: Roof
    costs: tuple[OperatorTime, ...]
    clock_hz: float

    def cycles(self, key: str) -> dict[str, float]:
        """By part or kind."""
        sums: dict[str, float] = {}
        for cost in self.costs:
            name = label(cost) if key == "operator" else getattr(cost, key)
            sums[name] = sums.get(name, 0.0) + cost.cycles
        return sums


Row = tuple[Analysis, OnMachine | None]


def to_tables(rows: Sequence[Row], group: str) -> RenderableType:
    """Counts by part or kind, and what must be in memory; 80 columns are enough."""
    from rich.console import Group
    from rich.text import Text

    first, machine = rows[0]
    tables = (_counts(rows, group), _footprints(rows))
    return Group(*tables, Text(_footnote(first, machine), style="dim"))


def _counts(rows: Sequence[Row], group: str) -> Table:
    first, machine = rows[0]
    workload = first.workload
    title = f"{workload.model.name}: {workload.task}, batch {workload.batch}, "
    table = _table(title + f"counted as {first.convention.name}", _size_name(first))
    table.add_column(group, overflow="fold")
    columns = ["FLOPs", "%", "bytes", "%", "FLOP/B", *(["time", "%"] if machine else [])]
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for analysis, on in rows:
        whole, sums = analysis.total, on.cycles(group) if on else {}
        label = size_of(analysis)
        for name, part in _ordered(GROUPS[group](analysis.operators)):
            cells = [*_cells(part), *_time(sums.get(name, 0), sum(sums.values()), on)]
            cells[1:1] = [_share(part.flops, whole.flops)]
            cells[3:3] = [_share(part.traffic_bytes, whole.traffic_bytes)]
            table.add_row(label, name, *cells)
            label = ""
        flops, traffic, intensity = _cells(whole)
        times = _time(sum(sums.values()), 0, on)
        cells = [flops, "", traffic, "", intensity, *times]
        table.add_row("", "total", *cells, style="bold", end_section=True)
    return table


def _footprints(rows: Sequence[Row]) -> Table:
    table = _table("in memory at once", _size_name(rows[0][0]))
    has_cache = any(analysis.footprint.cache_bytes for analysis, _ in rows)
    cache = ["KV cache"] if has_cache else []
    for name in ("weights", *cache, "peak activations", "together"):
        table.add_column(name, justify="right", no_wrap=True)
    for analysis, _ in rows:
        held = analysis.footprint
        sizes = [held.weight_bytes, *([held.cache_bytes] if has_cache else [])]
        sizes += [held.peak_activation_bytes, held.total_bytes]
        table.add_row(size_of(analysis), *(shown.quantity(size, "B") for size in sizes))
    return table


def _table(title: str, size_name: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column(size_name, justify="right", no_wrap=True)
    return table


def _footnote(analysis: Analysis, machine: OnMachine | None) -> str:
    workload = analysis.workload
    lines = [f"{analysis.convention.name}: {analysis.convention.summary}."]
    if workload.model.architecture.sees_tokens:
        lines.append(f"{workload.task}: {TASK_TITLES[workload.task]}.")
        if workload.task is not Task.ENCODE:
            lines.append(f"mask: {MASK_TITLES[analysis.mask]}.")
    lines += [f"assumed: {said}." for said in analysis.assumptions]
    lines.append("bytes: between memory and machine with ideal reuse, each operator by itself.")
    if machine:
        roof = machine.roof
        lines.append(
            f"{roof.name}: {shown.quantity(roof.peak_flops_per_s, 'FLOP/s')}, "
            f"{shown.quantity(roof.bandwidth_bytes_per_s, 'B/s')} from DRAM, balance "
            f"{roof.ridge_flops_per_byte:.1f} FLOP/B. {_TIMES[analysis.convention.name]}"
        )
    return "\n".join(lines)


def _cells(part: Count) -> list[str]:
    intensity = f"{part.intensity:,.2f}" if part.traffic_bytes else "–"
    return [
        shown.quantity(part.flops, ""),
        shown.quantity(part.traffic_bytes, "B"),
        intensity,
    ]


def _time(cycles: float, whole: float, on: OnMachine | None) -> list[str]:
    if on is None:
        return []
    return [shown.quantity(cycles / on.clock_hz, "s"), _share(cycles, whole) if whole else ""]


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}" if whole else ""


def _ordered(groups: Mapping[str, Count]) -> list[tuple[str, Count]]:
    """Parts as people name them; what has no place there in its own order."""
    place = {name: index for index, name in enumerate(PART_ORDER)}
    if not set(groups) <= set(place):
        return list(groups.items())
    return sorted(groups.items(), key=lambda item: place[item[0]])


def _size_name(analysis: Analysis) -> str:
    model = analysis.workload.model
    if isinstance(model.config, LayerSet):
        return "layers"
    return "seq-len" if model.architecture.sees_tokens else "image"


def size_of(analysis: Analysis) -> str:
    """The sequence length, the edge of the image, or how many layers there are."""
    if isinstance(analysis.workload.model.config, LayerSet):
        return str(len(analysis.workload.model.config.layers))
    if analysis.workload.model.architecture.sees_tokens:
        return f"{analysis.workload.tokens:,}"
    return str(analysis.workload.model.config.image_size)


def to_json(rows: Sequence[Row]) -> dict[str, Any]:
    """Everything, operators included. Counts of an operator are of all its repeats together."""
    first, machine = rows[0]
    workload = first.workload
    return {
        "schema_version": SCHEMA_VERSION,
        "inferstack_version": __version__,
        "model": workload.model.name,
        "phase": workload.task.value,
        "batch": workload.batch,
        "convention": first.convention.name,
        "mask": first.mask.value,
        "assumptions": list(first.assumptions),
        "dtype": first.convention.element.value if first.convention.element else None,
        "dtype_source": first.convention.source,
        "accelerator": _machine_json(machine) if machine else None,
        "workloads": [_workload_json(analysis, on) for analysis, on in rows],
    }


def _machine_json(machine: OnMachine) -> dict[str, Any]:
    roof = machine.roof
    return {
        "name": roof.name,
        "peak_flops_per_s": roof.peak_flops_per_s,
        "dram_bytes_per_s": roof.bandwidth_bytes_per_s,
        "balance_flops_per_byte": roof.ridge_flops_per_byte,
    }


def _workload_json(analysis: Analysis, on: OnMachine | None) -> dict[str, Any]:
    workload, held = analysis.workload, analysis.footprint
    sees_tokens = workload.model.architecture.sees_tokens
    costs = {cost.name: cost for cost in on.costs} if on else {}
    return {
        "seq_len": workload.tokens if sees_tokens else None,
        "image_size": None if sees_tokens else getattr(workload.model.config, "image_size", None),
        **_count_json(analysis.total),
        "modelled_cycles": sum(on.cycles("part").values()) if on else None,
        "footprint": {
            "weight_bytes": held.weight_bytes,
            "cache_bytes": held.cache_bytes,
            "peak_activation_bytes": held.peak_activation_bytes,
            "total_bytes": held.total_bytes,
        },
        "parts": {name: _count_json(part) for name, part in by_part(analysis.operators).items()},
        "kinds": {name: _count_json(part) for name, part in by_kind(analysis.operators).items()},
        "operators": [
            {
                "name": item.name,
                "kind": item.kind,
                "part": item.part,
                "repeats": item.repeats,
                **_count_json(item),
                "modelled_cycles": costs[item.name].cycles if on else None,
            }
            for item in analysis.operators
        ],
    }


def _count_json(part: Count) -> dict[str, Any]:
    return {
        "flops": part.flops,
        "traffic_bytes": part.traffic_bytes,
        "flops_per_byte": part.intensity,
    }


def to_csv(rows: Sequence[Row], group: str) -> str:
    """One line per part or kind and one for the total, with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("flops", "traffic_bytes", "flops_per_byte", "modelled_cycles")
    memory = ("weight_bytes", "cache_bytes", "peak_activation_bytes")
    head = ("model", "phase", "batch", "convention", "mask", "size", group)
    writer.writerow((*head, *columns, *memory))
    for analysis, on in rows:
        workload, held = analysis.workload, analysis.footprint
        sums = on.cycles(group) if on else {}
        size = size_of(analysis).replace(",", "")
        names = (workload.model.name, workload.task.value)
        front = (*names, workload.batch, analysis.convention.name, analysis.mask.value, size)
        for name, part in _ordered(GROUPS[group](analysis.operators)):
            cycles = sums.get(name, "")
            cells = (part.flops, part.traffic_bytes, part.intensity, cycles)
            writer.writerow((*front, name, *cells, "", "", ""))
        whole = analysis.total
        cells = (whole.flops, whole.traffic_bytes, whole.intensity, sum(sums.values()) or "")
        in_memory = (held.weight_bytes, held.cache_bytes, held.peak_activation_bytes)
        writer.writerow((*front, "total", *cells, *in_memory))
    return text.getvalue()


def to_records(rows: Sequence[Row], group: str) -> list[dict[str, Any]]:
    """A flat row per size and part, kind or operator; units stand in the names."""
    found = []
    for analysis, on in rows:
        sums = on.cycles(group) if on else {}
        for name, part in _ordered(GROUPS[group](analysis.operators)):
            found.append(
                {
                    _size_name(analysis).replace("-", "_"): int(size_of(analysis).replace(",", "")),
                    group: name,
                    **_count_json(part),
                    **({"modelled_cycles": sums.get(name, 0.0)} if on else {}),
                }
            )
    return found
