"""The figure of the fusion experiment: effect of fusion over DRAM's bandwidth, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fusion_sides import SOFTMAX, W2, WOUT, Row

PANELS = ((SOFTMAX, 128), (WOUT, 128), (WOUT, 256), (W2, 256))
TOKENS, SCRATCHPAD_KIB = 512, 256
WIDTH, HEIGHT, LEFT, TOP, PANEL_WIDTH, PANEL_HEIGHT, GAP = 860, 345, 62, 78, 172, 205, 26
LOWEST, HIGHEST, TICK_PERCENT = -100, 150, 50
# Okabe and Ito's colours: told apart with any kind of colour vision.
SERIES = (
    ("b", "a", "#D55E00", "fused over apart, both greedy"),
    ("d", "c", "#0072B2", "fused over apart, both optimal"),
)
INK, GRID, PAPER_COLOUR = "#24292f", "#d0d7de", "#57606a"


def figure(rows: Sequence[Row], paper: Mapping[tuple[str, int, int], int]) -> str:
    """A panel per pair and accumulator; simulated where it was, else predicted."""
    body = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *_legend()]
    for index, (pair, accumulator_kib) in enumerate(PANELS):
        chosen = [
            one
            for one in rows
            if (one.pair, one.tokens) == (pair, TOKENS)
            and one.setting.accumulator_kib == accumulator_kib
            and one.setting.scratchpad_kib == SCRATCHPAD_KIB
            and not one.setting.single_buffered
        ]
        left = LEFT + index * (PANEL_WIDTH + GAP)
        body += _panel(left, f"{pair}, {accumulator_kib} KiB", chosen, index == 0)
        body += _paper(left, paper.get((pair, TOKENS, accumulator_kib)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">\n' + "\n".join(body) + "\n</svg>\n"
    )


def _y(percent: float) -> float:
    return round(TOP + PANEL_HEIGHT * (HIGHEST - percent) / (HIGHEST - LOWEST), 1)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "none") -> str:
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" '
        f'stroke-dasharray="{dashes}" stroke-width="1.5"/>'
    )


def _text(x: float, y: float, words: str, anchor: str = "middle", colour: str = INK) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def _legend() -> list[str]:
    body, left = [], LEFT
    for _, _, colour, words in SERIES:
        body += [f'<circle cx="{left + 6}" cy="18" r="5" fill="{colour}"/>']
        body += [_text(left + 18, 22, words, "start")]
        left += 215
    body += [_line(left, 18, left + 22, 18, PAPER_COLOUR, "5 3")]
    body += [_text(left + 28, 22, "the paper (its bandwidth is not stated)", "start")]
    return body


def _panel(left: int, title: str, rows: Sequence[Row], with_labels: bool) -> list[str]:
    """Grid, labels, and a polyline with points per series."""
    body = [_text(left + PANEL_WIDTH / 2, TOP - 28, title)]
    for percent in range(LOWEST, HIGHEST + 1, TICK_PERCENT):
        y = _y(percent)
        body.append(_line(left, y, left + PANEL_WIDTH, y, INK if percent == 0 else GRID))
        if with_labels:
            body.append(_text(left - 6, y + 4, f"{percent:+d} %" if percent else "0 %", "end"))
    buses = sorted({one.setting.dram_bytes_per_cycle for one in rows}, reverse=True)
    places = {
        bus: left + PANEL_WIDTH * (index + 0.5) / len(buses) for index, bus in enumerate(buses)
    }
    bottom = TOP + PANEL_HEIGHT
    for bus, x in places.items():
        body.append(_text(round(x, 1), bottom + 18, str(bus)))
    body.append(_text(left + PANEL_WIDTH / 2, bottom + 38, "DRAM, bytes per cycle"))
    for fused, apart, colour, _ in SERIES:
        points = []
        for one in rows:
            value = one.effect_percent(fused, apart, True)
            if value is None:
                value = one.effect_percent(fused, apart, False)
            if value is not None:
                points.append((round(places[one.setting.dram_bytes_per_cycle], 1), _y(value)))
        joined = " ".join(f"{x},{y}" for x, y in points)
        body.append(f'<polyline points="{joined}" fill="none" stroke="{colour}"/>')
        body += [f'<circle cx="{x}" cy="{y}" r="4.5" fill="{colour}"/>' for x, y in points]
    return body


def _paper(left: int, percent: int | None) -> list[str]:
    if percent is None:
        return []
    y, right = _y(percent), left + PANEL_WIDTH
    return [
        _line(left, y, right, y, PAPER_COLOUR, "5 3"),
        _text(left + PANEL_WIDTH / 2, TOP - 11, f"paper {percent:+d} %", "middle", PAPER_COLOUR),
    ]
