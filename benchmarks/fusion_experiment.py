"""The fusion experiment of Kim et al. (arXiv 2302.14017, 5.5.2), with optima on both sides too.

    python benchmarks/fusion_experiment.py [--tokens 512 4096] [--no-simulation] [--figure F.svg]

BERT-Base on Gemmini with I-BERT's units: QxK with softmax, Wout and W2 with LayerNorm (before the
residual add, as there). Cycles are predicted by the mapper and simulated by the machine; beyond
1,024 tokens one head is simulated and counts twelve times. Tables on stdout, one line of JSON last.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fusion_figure import figure
from fusion_sides import (
    MHA,
    SIDES,
    SOFTMAX,
    W2,
    WOUT,
    Figures,
    Row,
    Setting,
    pairs,
    row,
    together,
)
from inferstack.core.infeasible import Infeasible

MEMORIES_KIB = ((256, 64), (256, 128), (256, 256), (64, 256))
PAPER_SCRATCHPAD_KIB = 256
PAPER_PERCENT = {
    (SOFTMAX, 512, 128): -78,
    (SOFTMAX, 512, 256): -78,
    (WOUT, 512, 128): 83,
    (WOUT, 512, 256): -4,
    (MHA, 512, 128): -23,
    (MHA, 512, 256): -52,
    (SOFTMAX, 4096, 256): -22,
    (MHA, 4096, 256): -21,
    (W2, 512, 256): 27,
    (W2, 4096, 256): 27,
}
"""By pair, tokens and KiB of accumulator. Source: Kim et al., arXiv 2302.14017, section 5.5.2."""
NARROWER_BUSES = (8, 4)
ROW_TOKENS = 4096
"""A sequence whose rows of scores fit no accumulator of the paper twice."""


def paper_percent(one: Row) -> int | None:
    """The paper's effect of fusion, where it states one."""
    if one.setting.scratchpad_kib != PAPER_SCRATCHPAD_KIB:
        return None
    return PAPER_PERCENT.get((one.pair, one.tokens, one.setting.accumulator_kib))


def measured(tokens: int, setting: Setting, simulate: bool) -> list[Row]:
    """The three pairs, and the two of attention together."""
    rows = [row(pair, setting, simulate=simulate) for pair in pairs(tokens)]
    return [*rows[:2], together(rows[:2]), rows[2]]


def as_json(one: Row) -> dict[str, Any]:
    """A row with plain values."""
    setting = one.setting
    return {
        "pair": one.pair,
        "tokens": one.tokens,
        "scratchpad_kib": setting.scratchpad_kib,
        "accumulator_kib": setting.accumulator_kib,
        "dram_bytes_per_cycle": setting.dram_bytes_per_cycle,
        "accumulator_double_buffered": not setting.single_buffered,
        "paper_percent": paper_percent(one),
        "fused_for": dict(one.fused_for),
        "percent": {
            f"{fused} over {apart}, {kind}": one.effect_percent(fused, apart, kind == "simulated")
            for fused, apart in (("b", "a"), ("d", "c"), ("e", "c"))
            for kind in ("predicted", "simulated")
        },
        "sides": {name: _side(side) for name, side in one.sides.items()},
    }


def _side(side: Figures | Infeasible) -> dict[str, Any]:
    if isinstance(side, Infeasible):
        return {"infeasible": side.message()}
    tiling = side.tiling
    return {
        "cycles": side.cycles,
        "simulated_cycles": side.simulated_cycles,
        "dram_bytes": side.dram_bytes,
        "energy_uj": round(1e-6 * side.energy_pj, 3),
        "tile": None if tiling is None else tiling.tile,
        "order": None if tiling is None else tiling.order,
        "proven_over_mappings": side.space,
    }


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """A table: cycles of each side with the prediction's error, effects, bytes."""
    print(f"\n{title}")
    print(
        f"{'pair':15}{'l':>5}{' spad/acc':>9}{'B/c':>4}"
        + "".join(f"{f'{name}, Mcycles (error)':>19}" for name in SIDES)
        + f"{'e':>9}{'b/a %':>13}{'paper':>7}{'d/c %':>13}  {'DRAM MB: a / b / c / d':36}fused for"
    )
    for one in rows:
        setting = one.setting
        memory = f"{setting.scratchpad_kib}/{setting.accumulator_kib}"
        memory += "*" if setting.single_buffered else ""
        paper = paper_percent(one)
        fused = [name for name, yes in one.fused_for.items() if yes]
        print(
            f"{one.pair:15}{one.tokens:>5}{memory:>9}{setting.dram_bytes_per_cycle:>4}"
            + "".join(f"{_cell(one.sides[name]):>19}" for name in SIDES)
            + f"{_cell(one.sides['e'], error=False):>9}{_effect(one, 'b', 'a'):>13}"
            + f"{'' if paper is None else f'{paper:+d}':>7}{_effect(one, 'd', 'c'):>13}"
            + f"  {' / '.join(_megabytes(one.sides[name]) for name in SIDES):36}"
            + (", ".join(fused) or "-")
        )


def _cell(side: Figures | Infeasible, error: bool = True) -> str:
    """Simulated where it was, else predicted."""
    if isinstance(side, Infeasible):
        return "does not fit"[: 19 if error else 3]
    if side.simulated_cycles is None:
        return f"{1e-6 * side.cycles:.3f}"
    signed = f" ({100 * (side.cycles / side.simulated_cycles - 1):+.1f} %)" if error else ""
    return f"{1e-6 * side.simulated_cycles:.3f}{signed}"


def _effect(one: Row, fused: str, apart: str) -> str:
    """Predicted / simulated."""
    both = [one.effect_percent(fused, apart, simulated) for simulated in (False, True)]
    return " / ".join(f"{value:+.0f}" for value in both if value is not None) or "-"


def _megabytes(side: Figures | Infeasible) -> str:
    return "-" if isinstance(side, Infeasible) else f"{1e-6 * side.dram_bytes:.1f}"


def long_rows(simulate: bool) -> list[Row]:
    """Scores of 4,096 tokens where 16 whole rows fit: twice into 512 KiB, once into 256 KiB."""
    pair = pairs(ROW_TOKENS)[0]
    return [
        row(
            pair,
            Setting(
                scratchpad_kib=PAPER_SCRATCHPAD_KIB,
                accumulator_kib=accumulator_kib,
                dram_bytes_per_cycle=bus,
                single_buffered=single,
            ),
            simulate=simulate,
        )
        for accumulator_kib, single in ((512, False), (256, True))
        for bus in (16, *NARROWER_BUSES)
    ]


def main() -> None:
    """Parse, compute, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, ROW_TOKENS])
    parser.add_argument("--no-simulation", action="store_true", help="predict only")
    parser.add_argument("--figure", type=Path, help="SVG of the effect over DRAM's bandwidth")
    given = parser.parse_args()
    simulate = not given.no_simulation
    rows = [
        one
        for tokens in given.tokens
        for scratchpad, accumulator in MEMORIES_KIB
        for one in measured(
            tokens, Setting(scratchpad_kib=scratchpad, accumulator_kib=accumulator), simulate
        )
    ]
    print("Cycles simulated (the prediction's error), or predicted alone; effects of fusion")
    print("predicted / simulated. spad/acc in KiB, B/c: DRAM bytes per cycle, *: one buffer.")
    print_rows("The library's machine: 16 bytes per cycle", rows)
    narrow = [
        one
        for bus in NARROWER_BUSES
        for scratchpad, accumulator in MEMORIES_KIB[:3]
        for one in measured(
            given.tokens[0],
            Setting(
                scratchpad_kib=scratchpad, accumulator_kib=accumulator, dram_bytes_per_cycle=bus
            ),
            simulate,
        )
    ]
    print_rows("Less bandwidth", narrow)
    long = long_rows(simulate) if ROW_TOKENS in given.tokens else []
    if long:
        print_rows("Rows of 4,096 scores, 16 of which fit", long)
    if given.figure is not None:
        given.figure.write_text(figure([*rows, *narrow], PAPER_PERCENT), encoding="utf-8")
    parts = {"rows": rows, "less_bandwidth": narrow, "long_rows": long}
    print(json.dumps({name: [as_json(one) for one in part] for name, part in parts.items()}))


if __name__ == "__main__":
    main()
