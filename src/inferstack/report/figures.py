"""The report's pictures as HTML fragments for a page that already holds plotly.js.

Text that comes from files is escaped: plotly reads a part of HTML in its labels.
"""

from __future__ import annotations

import hashlib
import html
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from inferstack.core.units import FLOPS_PER_MAC
from inferstack.ir.graph import Work
from inferstack.optimize.result import Decision, OperatorResult, Optimization
from inferstack.report import format as shown

# Okabe and Ito's colours, told apart with any kind of colour vision and on light or dark ground.
WORK_COLOURS = {
    Work.MATMUL: "#0072B2",
    Work.SOFTMAX: "#E69F00",
    Work.NORM: "#009E73",
    Work.ACTIVATION: "#CC79A7",
    Work.RESIDUAL_ADD: "#56B4E9",
    Work.QUANTIZATION: "#D55E00",
    Work.OTHER: "#999999",
}
DECISION_COLOURS = ("#D55E00", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#56B4E9", "#999999")
INK, GRID = "#7b8494", "rgba(123,132,148,0.25)"
ERROR_LIMIT_PERCENT = 10
MOST_DECADES_WITH_STEPS = 4


def time_figure(result: Optimization) -> go.Figure:
    """Per decision: shares of time stacked to 100 %, and the cycles beside them on a log axis."""
    figure = make_subplots(
        rows=1,
        cols=2,
        shared_yaxes=True,
        column_widths=[0.64, 0.36],
        horizontal_spacing=0.03,
        subplot_titles=("share of time", "cycles (log scale)"),
    )
    names = _labels(result)
    for work in Work:
        cycles = [decision.cycles_by_work[work] for decision in result.decisions]
        if not any(cycles):
            continue
        shares = [100 * n / d.cycles for n, d in zip(cycles, result.decisions, strict=True)]
        figure.add_bar(
            y=names,
            x=shares,
            orientation="h",
            name=shown.WORK_LABELS[work],
            marker_color=WORK_COLOURS[work],
            text=[f"{share:.0f} %" if share >= 5 else "" for share in shares],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont_color="white",
            customdata=[shown.quantity(n, "cycles") for n in cycles],
            hovertemplate="%{y}: %{x:.2f} % (%{customdata})",
            row=1,
            col=1,
        )
    # Points, not bars: on a log axis the length of a bar means nothing.
    figure.add_scatter(
        y=names,
        x=[decision.cycles for decision in result.decisions],
        mode="markers+text",
        showlegend=False,
        marker={"color": INK, "size": 12},
        text=["  " + shown.quantity(decision.cycles, "") for decision in result.decisions],
        textposition="middle right",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:,} cycles<extra></extra>",
        row=1,
        col=2,
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(range=[0, 100], ticksuffix=" %", row=1, col=1)
    largest = math.log10(max(decision.cycles for decision in result.decisions))
    smallest = math.log10(min(decision.cycles for decision in result.decisions))
    margin = 0.1 + 0.25 * (largest - smallest)
    limits = [smallest - 0.1, largest + margin]
    figure.update_xaxes(type="log", dtick=1, exponentformat="SI", range=limits, row=1, col=2)
    figure.update_layout(
        barmode="stack", legend={"orientation": "h", "y": -0.12, "traceorder": "normal"}
    )
    figure.update_layout(height=150 + 46 * len(names))
    return figure


def roofline_figure(result: Optimization) -> go.Figure:
    """Every operator with multiply-accumulates: operations per DRAM byte against operations/s."""
    figure = go.Figure()
    intensities: list[float] = []
    rates: list[float] = []
    last = len(result.decisions) - 1
    for index, decision in enumerate(result.decisions):
        points = _points(decision)
        intensities += [x for x, _ in points]
        rates += [y for _, y in points]
        figure.add_scatter(
            x=[x for x, _ in points],
            y=[y for _, y in points],
            mode="markers",
            name=html.escape(decision.name),
            visible=True if index in (0, last) else "legendonly",
            marker={
                "color": _colour(index),
                "size": 10,
                "symbol": "circle" if index == last else "diamond-open" if index == 0 else "cross",
                "line": {"width": 2},
            },
            text=list(points.values()),
            hovertemplate="%{text}<br>%{x:.1f} op/B, %{y:.3s}op/s",
        )
    low, high = (min(intensities) / 3, max(intensities) * 3) if intensities else (1.0, 1000.0)
    if intensities:
        for peak, bandwidth in dict.fromkeys(_roof(decision) for decision in result.decisions):
            ridge = peak / bandwidth
            corners = sorted({low, *([ridge] if low < ridge < high else []), high})
            heights = [min(peak, bandwidth * x) for x in corners]
            rates += heights
            figure.add_scatter(
                x=corners,
                y=heights,
                mode="lines",
                line={"color": INK, "width": 2},
                name=f"roof: {shown.quantity(peak, 'op/s')}, {shown.quantity(bandwidth, 'B/s')}",
                hoverinfo="skip",
            )
    figure.update_xaxes(
        type="log", title="operations per byte of DRAM traffic", **ticks([low, high], "")
    )
    figure.update_yaxes(type="log", title="operations per second", **ticks(rates, "op/s"))
    figure.update_layout(legend={"orientation": "h", "y": -0.18})
    figure.update_layout(height=520)
    return figure


def length_figure(result: Optimization) -> go.Figure:
    """Cosine by length of the sentences: the mean of each range of lengths, down to the worst."""
    figure = go.Figure()
    for index, (name, quality) in enumerate(shown.by_model(result)):
        parts = quality.by_length
        means = [part.mean_cosine for part in parts]
        figure.add_scatter(
            x=[shown.tokens(part) for part in parts],
            y=means,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [0.0] * len(parts),
                "arrayminus": [part.mean_cosine - part.worst_cosine for part in parts],
                "thickness": 1,
            },
            mode="lines+markers",
            name=html.escape(name),
            marker={"color": _colour(index), "size": 10},
            text=[f"{part.samples:,} sentences, worst {part.worst_cosine:.4f}" for part in parts],
            hovertemplate="%{x} tokens: %{y:.4f}<br>%{text}<extra></extra>",
        )
    figure.update_xaxes(title="tokens of the sentence", type="category")
    figure.update_yaxes(title="cosine to the float model")
    figure.update_layout(legend={"orientation": "h", "y": -0.3}, height=380)
    return figure


def prediction_figure(result: Optimization) -> go.Figure:
    """The mapping's predicted cycles against the simulated ones: signed error of each operator."""
    figure = go.Figure()
    cycles: list[float] = []
    for index, decision in enumerate(result.decisions):
        for is_matmul, symbol in ((True, "circle"), (False, "circle-open")):
            points: Counter[tuple[int, float]] = Counter()
            labels: dict[tuple[int, float], str] = {}
            for operator in decision.operators:
                error = operator.prediction_error
                if error is None or (operator.macs > 0) is not is_matmul:
                    continue
                points[operator.cycles, 100 * error] += 1
                labels.setdefault((operator.cycles, 100 * error), _label(operator))
            if not points:
                continue
            cycles += [simulated for simulated, _ in points]
            what = "matmuls" if is_matmul else "other operators"
            figure.add_scatter(
                x=[simulated for simulated, _ in points],
                y=[error for _, error in points],
                mode="markers",
                name=f"{html.escape(decision.name)}: {what}",
                marker={"color": _colour(index), "symbol": symbol, "size": 10},
                text=[_times(labels[point], count) for point, count in points.items()],
                hovertemplate="%{text}<br>%{x:,} cycles, %{y:+.2f} %<extra></extra>",
            )
    for limit in (-ERROR_LIMIT_PERCENT, ERROR_LIMIT_PERCENT):
        figure.add_hline(y=limit, line={"color": INK, "width": 1, "dash": "dash"})
    figure.add_hline(y=0, line={"color": INK, "width": 1})
    figure.update_xaxes(type="log", title="simulated cycles", **ticks(cycles, ""))
    figure.update_yaxes(title="predicted against simulated", ticksuffix=" %", zeroline=False)
    figure.update_layout(legend={"orientation": "h", "y": -0.34})
    figure.update_layout(height=420)
    return figure


FIGURES = {"time": time_figure, "roofline": roofline_figure, "prediction": prediction_figure}
"""The pictures of a result, by name."""


def plotly_script() -> str:
    """plotly.js itself, for the page's head."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _points(decision: Decision) -> dict[tuple[float, float], str]:
    """Distinct points of the operators with MACs, each with its label."""
    counts: Counter[tuple[float, float]] = Counter()
    labels: dict[tuple[float, float], str] = {}
    for operator in decision.operators:
        if operator.macs and operator.dram_bytes and operator.cycles:
            operations = FLOPS_PER_MAC * operator.macs
            rate = operations / operator.cycles * decision.clock_hz
            point = (operations / operator.dram_bytes, rate)
            counts[point] += 1
            labels.setdefault(point, _label(operator))
    return {point: _times(labels[point], count) for point, count in counts.items()}


def _roof(decision: Decision) -> tuple[float, float]:
    """Peak operations and DRAM bytes, both per second."""
    peak = FLOPS_PER_MAC * decision.peak_macs_per_cycle * decision.clock_hz
    return peak, decision.dram_bytes_per_cycle * decision.clock_hz


def _label(operator: OperatorResult) -> str:
    return html.escape(" + ".join((operator.name, *operator.fused)))


def _times(label: str, count: int) -> str:
    return label if count == 1 else f"{label} and {count - 1} more like it"


def _labels(result: Optimization) -> list[str]:
    return [f"{i}. {html.escape(d.name)}" for i, d in enumerate(result.decisions, 1)]


def _colour(index: int) -> str:
    return DECISION_COLOURS[index % len(DECISION_COLOURS)]


def ticks(values: Sequence[float], unit: str) -> dict[str, Any]:
    """Ticks at 1, 2 and 5 of each decade that `values` span, written out in full."""
    if not values:
        return {}
    decades = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    steps = (1,) if len(decades) > MOST_DECADES_WITH_STEPS else (1, 2, 5)
    places = [step * 10.0**decade for decade in decades for step in steps]
    texts = [
        f"{tick:,.4g} {unit}" if not unit and tick < 1e4 else shown.quantity(tick, unit)
        for tick in places
    ]
    return {
        "tickvals": places,
        "ticktext": [text.replace(".00", "").replace(".0", "") for text in texts],
    }


def fragment(figure: Any) -> str:
    """A figure as HTML, in the page's own colours; the same figure gives the same bytes."""
    figure.update_layout(
        template="none",
        margin={"l": 10, "r": 40, "t": 40, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif", "size": 13},
        font_color=INK,
    )
    figure.update_xaxes(gridcolor=GRID, linecolor=GRID, automargin=True)
    figure.update_yaxes(gridcolor=GRID, linecolor=GRID, automargin=True)
    config = {"responsive": True, "displayModeBar": False}
    # plotly's own name of the place would be a random one.
    name = f"figure-{hashlib.sha256(figure.to_json().encode()).hexdigest()[:16]}"
    html_text = figure.to_html(full_html=False, include_plotlyjs=False, config=config, div_id=name)
    # On a narrow screen the figure scrolls in its own frame, and the page does not.
    return f'<div class="wide"><div class="figure">{html_text}</div></div>'
