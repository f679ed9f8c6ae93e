"""What users do, in a few lines each: the objects agree with what the folders below compute."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from tests.models.conftest import tiny_bert
from tests.optimize.conftest import SENTENCES

import inferstack as ist
from inferstack.core.errors import InputError, MissingExtraError, UnknownNameError
from inferstack.core.infeasible import DoesNotFitError

if TYPE_CHECKING:
    from inferstack.api.shown import Shown

MACHINE = "peers-target"


@pytest.fixture(scope="module")
def layer() -> ist.Layer:
    """A small layer."""
    return ist.load("minilm-l6").layer("layer0.query", 16)


@pytest.fixture(scope="module")
def plan() -> ist.Plan:
    """A small model, nothing fused."""
    return ist.load("minilm-l6").map(MACHINE, seq_len=16, fuse=False)


@pytest.fixture(scope="module")
def shown(layer: ist.Layer, plan: ist.Plan) -> dict[str, Shown]:
    """One object of each kind that people look at, without a result."""
    energy, edp = layer.map(MACHINE, objective="energy"), layer.map(MACHINE)
    return {
        "model": ist.load("bert-base"),
        "counts": ist.load("bert-base").count((128, 512), on="gemmini"),
        "machine": ist.machine("eyeriss"),
        "layer": layer,
        "schedule": energy,
        "comparison": ist.compare(energy, edp),
        "plan": plan,
    }


@pytest.mark.parametrize(
    "kind", ["model", "counts", "machine", "layer", "schedule", "comparison", "plan"]
)
def test_an_object_prints_and_becomes_data(kind: str, shown: dict[str, Shown]) -> None:
    one = shown[kind]
    lines = str(one).splitlines()
    assert repr(one) == str(one)
    assert max(map(len, lines)) <= 100
    assert "object at 0x" not in str(one)
    html = one._repr_html_()
    assert html.count("<table") == html.count("</table>") >= 1
    json.dumps(one.to_dict(), allow_nan=False)
    records = one.records()
    frame = one.to_pandas()
    assert list(frame.columns) == list(records[0])
    assert len(frame) == len(records)
    Console(file=None, quiet=True).print(one)


def test_without_pandas_the_error_says_what_to_install(
    shown: dict[str, Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError) as caught:
        shown["plan"].to_pandas()
    assert "the package 'pandas' is not installed" in str(caught.value)
    assert "pip install 'inferstack[pandas]'" in str(caught.value)


@pytest.mark.parametrize("by", ["part", "kind", "operator"])
def test_rows_of_counts_add_up(by: str) -> None:
    counts = ist.load("bert-base").count(128, by=by)
    assert sum(row["flops"] for row in counts.records()) == counts.flops
    assert sum(row["traffic_bytes"] for row in counts.records()) == counts.traffic_bytes
    assert counts.by("part").flops == counts.flops


def test_a_written_schedule_reads_back_at_the_same_cost(layer: ist.Layer, tmp_path: Path) -> None:
    found = layer.map(MACHINE, objective="energy")
    again = ist.load_mapping(found.save(tmp_path / "mapping.yaml"))
    assert again.to_dict() == found.to_dict()
    assert found.certificate is not None
    assert "proven optimal for energy" in found.certificate


def test_a_comparison_says_what_differs_and_nothing_where_nothing_does(layer: ist.Layer) -> None:
    best, other = layer.map("gemmini", objective="energy"), layer.heuristic("gemmini")
    same = ist.compare(best, best)
    assert all(row["ratio"] in (1.0, None) for row in same.records())
    assert not same.nests
    assert "the nests are the same" in str(same)
    both = ist.compare(best, other, names=("optimal", "greedy"))
    figures = {row["figure"]: row for row in both.records()}
    assert figures["energy pJ"]["first"] == best.energy_pj <= other.energy_pj
    assert figures["dram bytes"]["second"] == other.dram_bytes
    assert any(line.startswith("- ") for line in both.nests)


def test_two_layers_or_two_kinds_are_not_compared(layer: ist.Layer, plan: ist.Plan) -> None:
    wider = ist.load("minilm-l6").layer("layer0.intermediate", 16)
    with pytest.raises(InputError, match="two different layers"):
        ist.compare(layer.map(MACHINE), wider.map(MACHINE))
    with pytest.raises(InputError, match="a schedule and a plan"):
        ist.compare(layer.map(MACHINE), plan)


def test_a_plan_has_the_schedule_of_each_layer(plan: ist.Plan, tmp_path: Path) -> None:
    assert plan["layer0.scores"].name == "layer0.scores"
    with pytest.raises(UnknownNameError, match="unknown schedule"):
        plan["layer0.scorez"]
    paths = [path for path, _ in plan.save(tmp_path / "mapped")]
    assert [path.name for path in paths] == ["plan.json", "map.html", "mappings"]
    assert plan.export("timeloop", tmp_path / "mapped").is_dir()
    assert plan.figure().to_dict()["data"]


def test_what_does_not_fit_is_an_error_with_its_levers(layer: ist.Layer) -> None:
    small = ist.machine("gemmini").with_({"levels.accumulator.capacity_bytes": 2})
    with pytest.raises(DoesNotFitError, match="does not fit; got a demand of") as caught:
        layer.map(small)
    assert caught.value.outcome.limit < caught.value.outcome.demand


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint."""
    place = tmp_path_factory.mktemp("api") / "tiny"
    tiny_bert(place).write()
    return place


def test_an_encoder_runs_in_both_kinds_of_numbers(folder: Path, tmp_path: Path) -> None:
    model = ist.load(folder)
    floating = model.encoder(16)
    integer = model.quantize(SENTENCES, seq_len=16)
    assert not floating.is_integer
    assert integer.is_integer
    assert floating.embed(SENTENCES[:3]).shape == integer.embed(SENTENCES[:3]).shape
    assert integer.accuracy_against(floating, SENTENCES).mean_cosine > 0.9
    assert "in integers, 16 tokens" in repr(integer)
    assert (integer.save(tmp_path / "kept") / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_result_reports_and_runs(folder: Path, tmp_path: Path) -> None:
    result = ist.load(folder).optimize(
        SENTENCES, "gemmini", seq_len=16, check=1, out=tmp_path / "out"
    )
    assert [row["decision"] for row in result.records()][-1] == "fused schedule"
    assert result.decisions[0].cycles > result.decisions[-1].cycles
    assert "fused schedule" in str(result)
    json.dumps(result.to_dict(), allow_nan=False)
    assert "<table" in result._repr_html_()
    page = result.save_report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "What each decision gains" in page
    for which in ("time", "roofline", "prediction"):
        assert result.figure(which).to_dict()["data"]
    with pytest.raises(UnknownNameError, match="unknown figure"):
        result.figure("tim")
    assert result.integer_model().embed(SENTENCES[:2]).shape[0] == 2


def test_a_named_model_has_no_weights_to_run() -> None:
    with pytest.raises(InputError, match="is a named model without weights"):
        ist.load("bert-base").encoder()


def test_a_roofline_is_a_page(tmp_path: Path) -> None:
    path = ist.load("bert-base").count(128).save_roofline(tmp_path / "roof.html")
    assert "roof of survey-analytic" in path.read_text(encoding="utf-8")
