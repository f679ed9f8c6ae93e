"""What docs/mapspace.md claims, with fewer mappings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CONVOLUTIONS = ("conv1", "3x3x512")
MATMULS = ("base QKV", "large W1")
EQUAL_MACS = ("MHA d=240", "conv1 at 56")
OPERATORS = (*CONVOLUTIONS, *MATMULS, *EQUAL_MACS)
COUNT = 8000

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Document:
    """The last line of a smaller run; the figure beside it."""
    program = repository / "benchmarks" / "random_mappings.py"
    figure = tmp_path_factory.mktemp("figure") / "mapspace.svg"
    done = subprocess.run(
        [sys.executable, str(program), "--count", str(COUNT), "--figure", str(figure),
         "--operators", *OPERATORS],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    printed: Document = json.loads(done.stdout.splitlines()[-1])
    return printed | {"figure": figure.read_text(encoding="utf-8")}


def row(document: Document, operator: str, *, perfect: bool, filled: bool) -> dict[str, float]:
    """The distribution of an operator in one of the four spaces."""
    found: dict[str, float] = next(
        one
        for one in document["distributions"]
        if (one["operator"], one["perfect"], one["filled"]) == (operator, perfect, filled)
    )
    return found


def best(document: Document, operator: str, *, perfect: bool) -> dict[str, float]:
    """The optimum of an operator."""
    found: dict[str, float] = next(
        one
        for one in document["optima"]
        if (one["operator"], one["perfect"]) == (operator, perfect)
    )
    return found


@pytest.mark.parametrize("operator", OPERATORS)
def test_random_mappings_are_far_from_the_optimum(document: Document, operator: str) -> None:
    for perfect in (False, True):
        one = row(document, operator, perfect=perfect, filled=False)
        assert 40 < one["p10"] < 200
        assert 400 < one["median"] < 2500
        assert one["within_3x_percent"] < 0.5
        assert 1e3 < one["spread"] < 1e5


@pytest.mark.parametrize("operator", OPERATORS)
def test_with_a_full_array_they_are_where_the_paper_s_are(
    document: Document, operator: str
) -> None:
    for perfect in (False, True):
        whole = row(document, operator, perfect=perfect, filled=False)
        full = row(document, operator, perfect=perfect, filled=True)
        assert 1.5 < full["p10"] < 10
        assert 1.5 < full["within_3x_percent"] < 25
        assert full["worst"] < whole["worst"] / 5
        # The array is what most of them leave empty: cycles fall much more than energy.
        assert whole["median_cycles"] > 4 * full["median_cycles"]
        assert whole["median_energy"] < 5 * full["median_energy"]


def test_few_mappings_fill_the_array(document: Document) -> None:
    for operator in OPERATORS:
        whole, full = (
            row(document, operator, perfect=False, filled=filled) for filled in (False, True)
        )
        valid = [one["drawn_from"] * one["valid_percent"] for one in (full, whole)]
        assert valid[0] / valid[1] < 1e-3


def test_matmuls_are_harder_for_random_search_than_convolutions(document: Document) -> None:
    for perfect in (False, True):
        medians = {
            name: row(document, name, perfect=perfect, filled=False)["median"] for name in OPERATORS
        }
        assert min(medians[name] for name in MATMULS) > 1.5 * max(
            medians[name] for name in CONVOLUTIONS
        )
        assert medians["MHA d=240"] > 2 * medians["conv1 at 56"]


def test_three_loops_give_no_smaller_mapspace_than_six(document: Document) -> None:
    for name in MATMULS:
        assert best(document, name, perfect=True)["loops"] == 3
    for name in CONVOLUTIONS:
        assert best(document, name, perfect=True)["loops"] == 6
    sizes = {
        perfect: {name: best(document, name, perfect=perfect)["space_size"] for name in OPERATORS}
        for perfect in (True, False)
    }
    for matmul in MATMULS:
        for convolution in CONVOLUTIONS:
            assert sizes[True][matmul] > sizes[True][convolution]
            assert 0.05 < sizes[False][matmul] / sizes[False][convolution] < 2
    assert sizes[True]["MHA d=240"] > sizes[True]["conv1 at 56"]


def test_a_proof_touches_next_to_nothing(document: Document) -> None:
    for one in document["optima"]:
        parts = ("evaluated", "pruned_by_bound", "pruned_by_dominance", "misfits")
        assert sum(one[part] for part in parts) == one["space_size"]
        assert one["evaluated"] < 100
        assert one["touched"] < (1e-3 if one["perfect"] else 1e-5)


def test_the_figure_has_a_curve_for_each_operator_and_panel(document: Document) -> None:
    drawn = [name for name in OPERATORS if name not in EQUAL_MACS]
    assert document["figure"].count("<polyline") == 2 * len(drawn)
    assert len(document["figure"]) < 200_000
