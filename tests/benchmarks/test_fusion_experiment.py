"""What docs/fusion.md claims of 512 tokens, from the mapper's figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SOFTMAX, WOUT, W2, MHA = "QxK+softmax", "Wout+LayerNorm", "W2+LayerNorm", "MHA together"
GREEDY, OPTIMAL, CHOICE = "b over a", "d over c", "e over c"
BANDWIDTHS = (16, 8, 4)

Rows = dict[tuple[str, int, int], dict[str, Any]]


@pytest.fixture(scope="module")
def rows(repository: Path) -> Rows:
    """By pair, KiB of accumulator and bytes per cycle; the scratchpad has 256 KiB."""
    program = repository / "benchmarks" / "fusion_experiment.py"
    done = subprocess.run(
        [sys.executable, str(program), "--tokens", "512", "--no-simulation"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    printed = json.loads(done.stdout.splitlines()[-1])
    return {
        (one["pair"], one["accumulator_kib"], one["dram_bytes_per_cycle"]): one
        for one in (*printed["rows"], *printed["less_bandwidth"])
        if one["scratchpad_kib"] == 256
    }


def effect(rows: Rows, pair: str, kib: int, bandwidth: int, sides: str) -> float:
    """Predicted, in percent."""
    value = rows[pair, kib, bandwidth]["percent"][f"{sides}, predicted"]
    assert isinstance(value, float)
    return value


@pytest.mark.parametrize("bandwidth", BANDWIDTHS)
@pytest.mark.parametrize("kib", [64, 128, 256])
def test_fusing_softmax_is_a_large_win_against_any_schedule(
    rows: Rows, kib: int, bandwidth: int
) -> None:
    greedy = effect(rows, SOFTMAX, kib, bandwidth, GREEDY)
    optimal = effect(rows, SOFTMAX, kib, bandwidth, OPTIMAL)
    assert -87 < greedy < optimal < -60


@pytest.mark.parametrize("pair", [WOUT, W2])
def test_no_layernorm_fuses_in_64_kib(rows: Rows, pair: str) -> None:
    sides = rows[pair, 64, 16]["sides"]
    for side in "bd":
        assert "accumulator" in sides[side]["infeasible"]
    assert sides["e"] == sides["c"]


def test_the_sign_for_layernorm_depends_on_bandwidth_and_accumulator(rows: Rows) -> None:
    for pair, kib in ((WOUT, 128), (WOUT, 256), (W2, 128), (W2, 256)):
        at = [effect(rows, pair, kib, bandwidth, OPTIMAL) for bandwidth in BANDWIDTHS]
        assert at[0] < 0 < at[2], (pair, kib)
        assert (at[1] < 0) == (kib == 256), (pair, kib)
    assert effect(rows, WOUT, 128, 16, GREEDY) < 0
    assert abs(effect(rows, W2, 256, 8, GREEDY)) < 3


@pytest.mark.parametrize("bandwidth", BANDWIDTHS)
@pytest.mark.parametrize("pair", [WOUT, W2])
def test_a_larger_accumulator_favours_fusing(rows: Rows, pair: str, bandwidth: int) -> None:
    for sides in (GREEDY, OPTIMAL):
        small, large = (effect(rows, pair, kib, bandwidth, sides) for kib in (128, 256))
        assert large < small


def test_optimal_tiles_shrink_the_paper_s_loss(rows: Rows) -> None:
    """Wout with 128 KiB, +83 % in the paper: greedy about +60, optimal about +24 at 8 bytes."""
    greedy, optimal = (effect(rows, WOUT, 128, 8, sides) for sides in (GREEDY, OPTIMAL))
    assert 50 < greedy < 83
    assert 15 < optimal < 35
    sides = rows[WOUT, 128, 8]["sides"]
    assert sides["d"]["order"][0] == "k"
    assert sides["d"]["dram_bytes"] < 0.75 * sides["b"]["dram_bytes"]


def test_the_choice_never_loses_and_beats_fusing_all_of_attention(rows: Rows) -> None:
    for (pair, kib, bandwidth), row in rows.items():
        assert row["percent"][f"{CHOICE}, predicted"] <= 0, (pair, kib, bandwidth)
    for kib in (128, 256):
        choice = effect(rows, MHA, kib, 4, CHOICE)
        assert choice < effect(rows, MHA, kib, 4, OPTIMAL) - 5


def test_for_energy_the_softmax_is_fused_and_no_layernorm(rows: Rows) -> None:
    for (pair, kib, bandwidth), row in rows.items():
        if pair == MHA:
            continue
        for objective in ("energy", "edp", "dram_bytes"):
            assert row["fused_for"][objective] == (pair == SOFTMAX), (pair, kib, bandwidth)
    for pair, kib in ((WOUT, 128), (WOUT, 256), (W2, 128), (W2, 256)):
        assert rows[pair, kib, 16]["fused_for"]["latency"]
        sides = rows[pair, kib, 16]["sides"]
        assert sides["d"]["energy_uj"] > 1.03 * sides["c"]["energy_uj"]
