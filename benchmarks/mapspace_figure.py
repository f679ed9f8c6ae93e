"""The figure of the mapspace experiment: cumulative distributions of EDP, log axes, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, TOP, PANEL_WIDTH, PANEL_HEIGHT, GAP = 960, 400, 66, 74, 400, 262, 52
DECADES_X, DECADES_Y = (0, 5.3), (-4, 0)
CURVES = {
    "conv1": ("#000000", "none"),
    "3x3x512": ("#E69F00", "none"),
    "1x1x512": ("#56B4E9", "none"),
    "1x1x2048": ("#009E73", "none"),
    "base QKV": ("#0072B2", "6 3"),
    "base W1": ("#D55E00", "6 3"),
    "large QKV": ("#0072B2", "2 2"),
    "large W1": ("#D55E00", "2 2"),
}
"""Okabe and Ito's colours: told apart with any kind of colour vision; matmuls are dashed."""
INK, GRID = "#24292f", "#d0d7de"


def figure(
    curves: Sequence[tuple[bool, str, tuple[float, ...]]],
    shares: Sequence[float],
    paper: Mapping[str, tuple[float, float]],
    titles: tuple[str, str],
) -> str:
    """A panel for the whole space, one for the full array; circles: the paper's two figures each.

    curves: (whether of the right panel, operator, EDP over the optimum at `shares`).
    """
    body = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *_legend(paper)]
    for index, title in enumerate(titles):
        left = LEFT + index * (PANEL_WIDTH + GAP)
        body += _panel(left, title)
        for right, name, quantiles in curves:
            if right == bool(index) and name in CURVES:
                points = [
                    (_x(left, value), _y(share))
                    for value, share in zip(quantiles, shares, strict=True)
                    if share >= 10 ** DECADES_Y[0]
                ]
                joined = " ".join(f"{x},{y}" for x, y in points)
                colour, dashes = CURVES[name]
                body.append(
                    f'<polyline points="{joined}" fill="none" stroke="{colour}" '
                    f'stroke-dasharray="{dashes}" stroke-width="1.6"/>'
                )
        for name, (p10, near_percent) in paper.items():
            for value, share in ((p10, 0.1), (3.0, near_percent / 100)):
                body.append(_ring(_x(left, value), _y(share), CURVES[name][0]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">\n' + "\n".join(body) + "\n</svg>\n"
    )


def _x(left: float, value: float) -> float:
    low, high = DECADES_X
    return round(left + PANEL_WIDTH * (math.log10(max(value, 1.0)) - low) / (high - low), 1)


def _y(share: float) -> float:
    low, high = DECADES_Y
    return round(TOP + PANEL_HEIGHT * (high - math.log10(share)) / (high - low), 1)


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "none") -> str:
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" '
        f'stroke-dasharray="{dashes}" stroke-width="1.6"/>'
    )


def _ring(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="4.5" fill="none" stroke="{colour}" stroke-width="1.8"/>'


def _legend(paper: Mapping[str, tuple[float, float]]) -> list[str]:
    body, left = [], 20.0
    for name, (colour, dashes) in CURVES.items():
        body += [
            _line(left, 18, left + 24, 18, colour, dashes),
            _text(left + 29, 22, name, "start"),
        ]
        left += 98
    body += [_ring(left + 6, 18, INK), _text(left + 16, 22, "paper, over its best", "start")]
    return body if paper else body[:-2]


def _panel(left: int, title: str) -> list[str]:
    """Grid and labels."""
    bottom, right = TOP + PANEL_HEIGHT, left + PANEL_WIDTH
    body = [_text(left + PANEL_WIDTH / 2, TOP - 14, title)]
    for decade in range(DECADES_Y[0], DECADES_Y[1] + 1):
        y = _y(10.0**decade)
        body.append(_line(left, y, right, y, GRID))
        body.append(_text(left - 6, y + 4, f"{100 * 10.0**decade:g} %", "end"))
    for decade in range(math.floor(DECADES_X[1]) + 1):
        x = _x(left, 10.0**decade)
        body.append(_line(x, TOP, x, bottom, GRID))
        body.append(_text(x, bottom + 18, f"{10**decade:,}"))
    body.append(_text(left + PANEL_WIDTH / 2, bottom + 40, "EDP over the proven optimum, at most"))
    return body
