"""Figures as people read them, and the names of the kinds of work. No figure is computed here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from inferstack.ir.graph import Work

if TYPE_CHECKING:
    from inferstack.compress.accuracy import LengthAccuracy
    from inferstack.optimize.quality import Quality
    from inferstack.optimize.result import Decision, Optimization

WORK_LABELS = {
    Work.MATMUL: "matmul",
    Work.SOFTMAX: "softmax",
    Work.NORM: "norm",
    Work.ACTIVATION: "activation",
    Work.RESIDUAL_ADD: "residual add",
    Work.QUANTIZATION: "(de)quant",
    Work.OTHER: "other",
}

_PREFIXES = {-5: "f", -4: "p", -3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T"}
_PREFIXES |= {5: "P"}


def quantity(value: float, unit: str) -> str:
    """Three significant digits and a decimal prefix: quantity(0.00152, "s") is "1.52 ms"."""
    if value == 0:
        return f"0 {unit}".rstrip()
    step = max(-5, min(5, math.floor(math.log10(abs(value)) / 3)))
    scaled = value / 1000.0**step
    if abs(scaled) >= 999.5 and step < 5:
        step, scaled = step + 1, scaled / 1000.0
    digits = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
    return f"{scaled:.{digits}f} {_PREFIXES[step]}{unit}".rstrip()


def joules(picojoules: float) -> str:
    """Energy with its unit."""
    return quantity(picojoules * 1e-12, "J")


def energy_delay(pj_s: float) -> str:
    """Energy times delay with its unit."""
    return quantity(pj_s * 1e-12, "Js")


def percent(share: float) -> str:
    """A share of one; small ones keep a digit that says something."""
    value = 100 * share
    if value == 0:
        return "0 %"
    if abs(value) < 0.01:
        return "<0.01 %"
    return f"{value:.2f} %" if abs(value) < 1 else f"{value:.1f} %"


def gain(before: float, after: float) -> str:
    """How many times less `after` is."""
    if after == 0:
        return "–"
    ratio = before / after
    return (
        f"{ratio:.2f}×" if ratio < 9.995 else f"{ratio:.1f}×" if ratio < 99.95 else f"{ratio:.0f}×"
    )


def signed_percent(value: float) -> str:
    """An error with its sign; what rounds to zero has none."""
    return f"{100 * value:+z.1f} %".replace("+0.0 %", "0.0 %")


def tokens(part: LengthAccuracy) -> str:
    """A range of sentence lengths: "17 to 32"."""
    return f"{part.least} to {part.most}"


def by_model(result: Optimization) -> list[tuple[str, Quality]]:
    """The qualities that differ, each with the first row that has it: rows share their models."""
    found: list[tuple[str, Quality]] = []
    for decision in result.decisions:
        if all(decision.quality != quality for _, quality in found):
            found.append((decision.name, decision.quality))
    return found


def prediction_errors(decision: Decision) -> list[float]:
    """(predicted - simulated) / simulated of each operator that has MACs and a prediction."""
    matmuls = [operator for operator in decision.operators if operator.macs]
    return [error for o in matmuls if (error := o.prediction_error) is not None]
