"""The stack of decisions in a terminal: four tables, a row per decision; 80 columns are enough."""

from __future__ import annotations

from operator import attrgetter

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from inferstack.core.provenance import Claim
from inferstack.ir.graph import Work
from inferstack.optimize.result import Decision, Optimization
from inferstack.report import format as shown

NARROW = 2
"""Measures whose heads fit side by side on one line."""


def to_tables(result: Optimization) -> RenderableType:
    """Costs, gains, time by kind of work, accuracy, and what the figures rest on."""
    return Group(
        _costs(result),
        _gains(result),
        _shares(result),
        _accuracy(result),
        *_by_length(result),
        Text(footnote(result)),
    )


def _table(title: str) -> Table:
    table = Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("decision", min_width=8, max_width=30, overflow="fold")
    return table


def _costs(result: Optimization) -> Table:
    table = _table(f"{result.model}, sequence length {result.seq_len}: one forward pass")
    for name in ("cycles", "latency", "energy", "EDP", "DRAM", "array"):
        table.add_column(name, justify="right", no_wrap=True)
    for decision in result.decisions:
        table.add_row(
            Text(decision.name),
            shown.quantity(decision.cycles, ""),
            shown.quantity(decision.latency_s, "s"),
            shown.joules(decision.energy_pj),
            shown.energy_delay(decision.edp_pj_s),
            shown.quantity(decision.dram_bytes, "B"),
            shown.percent(decision.array_utilization),
        )
    return table


def _gains(result: Optimization) -> Table:
    table = _table("times less than the row above / than the first row")
    figures = {"cycles": "cycles", "energy": "energy_pj", "EDP": "edp_pj_s"}
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("on", overflow="fold")
    above: Decision | None = None
    for decision in result.decisions:
        cells = []
        for figure in map(attrgetter, figures.values()):
            sides = () if above is None else (above, result.decisions[0])
            gains = [shown.gain(figure(before), figure(decision)) for before in sides]
            cells.append(" / ".join(gains))
        table.add_row(Text(decision.name), *cells, Text(decision.accelerator))
        above = decision
    return table


def _shares(result: Optimization) -> Table:
    table = _table("share of time")
    works = [work for work in Work if any(d.cycles_by_work[work] for d in result.decisions)]
    for work in works:
        table.add_column(shown.WORK_LABELS[work], justify="right", no_wrap=True)
    for decision in result.decisions:
        cells = [shown.percent(decision.cycles_by_work[w] / decision.cycles) for w in works]
        table.add_row(Text(decision.name), *(cell.replace(" ", "") for cell in cells))
    return table


def _accuracy(result: Optimization) -> Table:
    """Accuracy against fp32, and of the mapper's prediction against the simulator."""
    table = _table("accuracy of the model, and of the predicted cycles of its matmuls")
    labels = [measure.label for measure in result.decisions[0].quality.measures]
    for name in (*labels, "mean |error|", "worst error"):
        # Six columns of figures leave the names no room on 80 columns unless the heads are stacked.
        head = name.replace(" ", "\n") if len(labels) > NARROW else name
        table.add_column(head, justify="right", no_wrap=True)
    for decision in result.decisions:
        errors = shown.prediction_errors(decision)
        cells = [measure.text for measure in decision.quality.measures]
        if errors:
            cells.append(shown.percent(sum(map(abs, errors)) / len(errors)))
            cells.append(shown.signed_percent(max(errors, key=abs)))
        table.add_row(Text(decision.name), *cells)
    return table


def _by_length(result: Optimization) -> list[Table]:
    """Cosine by length of the sentences: a row per model, where the data has several lengths."""
    models = shown.by_model(result)
    parts = models[0][1].by_length if models else ()
    if len(parts) < 2:
        return []
    table = _table("cosine by length of the sentences in tokens: mean / worst")
    for part in parts:
        head = f"{shown.tokens(part)}\n({part.samples})"
        table.add_column(head, justify="right", no_wrap=True)
    for name, quality in models:
        cells = [f"{p.mean_cosine:.4f}\n{p.worst_cosine:.4f}" for p in quality.by_length]
        table.add_row(Text(name), *cells)
    return [table]


def footnote(result: Optimization) -> str:
    """How the figures came to be."""
    lines = [
        "array: MACs done over MACs possible in all cycles, host included.",
        "share of time of a fused operator: what its group lasts longer with it.",
    ]
    shares = ", ".join(_simulated_share(decision) for decision in result.decisions)
    if shares:
        lines.append(f"cycles: simulated for {shares} of the rows' time, modelled for the rest.")
    lines.append(
        "energy: modelled from published 45 nm figures. accuracy: measured over "
        f"{result.samples} {result.unit}" + (f" and {result.pairs} pairs." if result.pairs else ".")
    )
    if result.truncated:
        lines.append(
            f"{result.truncated} texts are longer than {result.seq_len} tokens: their ends are cut."
        )
    if result.decisions:
        tensors = result.decisions[-1].bit_exact_tensors
        lines.append(
            f"last row: {tensors:,} tensors of the simulation equal the reference bit for bit."
            if tensors
            else "last row: no tensor of the simulation was compared with the reference."
        )
    lines += kept_texts(result)
    return "\n".join(lines)


def kept_texts(result: Optimization) -> list[str]:
    """Where the simulator did not prefer what the search predicts to be best."""
    return [
        f"{decision.name}: {len(decision.kept_schedules)} schedules are those of the row above, as "
        f"the simulator takes less with them: {', '.join(decision.kept_schedules[:4])}"
        + (", ..." if len(decision.kept_schedules) > 4 else "")
        for decision in result.decisions
        if decision.kept_schedules
    ]


def _simulated_share(decision: Decision) -> str:
    done = sum(o.cycles for o in decision.operators if o.claim is Claim.SIMULATED)
    return shown.percent(done / decision.cycles)
