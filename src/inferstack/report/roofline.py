"""The roofline of a model's parts as an HTML page. No figure is computed here."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack import __version__
from inferstack.report import format as shown
from inferstack.report.page import page, section, write_page

if TYPE_CHECKING:
    from inferstack.analysis.roofline import Roofline

MARGIN = 3
"""How far the roof goes on beyond the points, as a factor."""


def write_roofline(
    path: Path,
    title: str,
    note: str,
    drawn: Sequence[tuple[str, Roofline]],
    flag: str = "--roofline",
) -> None:
    """Writes the page of several rooflines under one roof.

    note: how the bytes were counted. drawn: each roofline with the label of its points.
    """
    write_page(path, to_html(title, note, drawn), flag)


def to_html(title: str, note: str, drawn: Sequence[tuple[str, Roofline]]) -> str:
    """The whole page."""
    from inferstack.report.figures import fragment

    roof = drawn[0][1].roof
    text = (
        f"What {roof.name} could reach on each part at its arithmetic intensity: "
        f"{shown.quantity(roof.peak_flops_per_s, 'FLOP/s')} at most, "
        f"{shown.quantity(roof.bandwidth_bytes_per_s, 'B/s')} from DRAM, so that everything below "
        f"{roof.ridge_flops_per_byte:.1f} FLOP per byte waits for memory. Modelled, not measured. "
        f"Counted: {note}."
    )
    figure = fragment(roofline_figure(drawn))
    body = f"<h1>{html.escape(title)}</h1>\n{section('Roofline', text, figure)}"
    return page(title, body, __version__)


def roofline_figure(drawn: Sequence[tuple[str, Roofline]]) -> Any:
    """The figure itself, of plotly."""
    import plotly.graph_objects as go

    from inferstack.report.figures import DECISION_COLOURS, INK, ticks

    roof = drawn[0][1].roof
    figure = go.Figure()
    intensities = [point.intensity for _, line in drawn for point in line.points]
    ridge = roof.ridge_flops_per_byte
    low, high = min(*intensities, ridge) / MARGIN, max(*intensities, ridge) * MARGIN
    corners = (low, ridge, high)
    heights = [roof.attainable_flops_per_s(x) for x in corners]
    figure.add_scatter(
        x=corners,
        y=heights,
        mode="lines",
        line={"color": INK, "width": 2},
        name=html.escape(f"roof of {roof.name}"),
        hoverinfo="skip",
    )
    parts = dict.fromkeys(point.name for _, line in drawn for point in line.points)
    for index, part in enumerate(parts):
        points = [(label, p) for label, line in drawn for p in line.points if p.name == part]
        figure.add_scatter(
            x=[point.intensity for _, point in points],
            y=[point.attainable_flops_per_s for _, point in points],
            mode="markers+text",
            name=html.escape(part),
            marker={"color": DECISION_COLOURS[index % len(DECISION_COLOURS)], "size": 11},
            text=[html.escape(label) for label, _ in points],
            # By turns: on the flat part of the roof, neighbours would write over each other.
            textposition="top left" if index % 2 else "bottom right",
            textfont={"size": 11},
            hovertemplate="%{text}: %{x:.2f} FLOP/B, at most %{y:.3s}FLOP/s",
        )
    figure.update_xaxes(type="log", title="FLOP per byte", **ticks([low, high], ""))
    figure.update_yaxes(type="log", title="attainable FLOP per second", **ticks(heights, "FLOP/s"))
    figure.update_layout(legend={"orientation": "h", "y": -0.18}, height=520)
    return figure
