"""The report shows the result's figures, holds all it needs, and text from files stays text."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from inferstack.core.errors import InputError
from inferstack.core.provenance import Claim
from inferstack.ir.graph import Work
from inferstack.optimize.result import Optimization
from inferstack.report import format as shown
from inferstack.report.html import to_html, write_report
from inferstack.report.json import SCHEMA_VERSION, to_json
from inferstack.report.path import check_apart, check_report_path
from inferstack.report.table import to_tables

HOSTILE = "<img src=x onerror=alert(1)>&</script>[bold]{0}"


class _Page(HTMLParser):
    """Tags, attributes and text; what a browser would load; whether tags close."""

    void = ("meta", "br", "img", "link", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" not in self.open and "style" not in self.open:
            self.text.append(data)


@pytest.fixture
def page(result: Optimization) -> _Page:
    """The parsed page."""
    parsed = _Page()
    parsed.feed(to_html(result))
    return parsed


def test_the_page_is_well_formed_and_loads_nothing(page: _Page) -> None:
    assert page.open == []
    tags = [tag for tag, _ in page.seen]
    assert "link" not in tags
    assert "iframe" not in tags
    for _, attributes in page.seen:
        assert not {"src", "href", "onerror", "onload"} & attributes.keys()


def test_plotly_is_inlined_once(result: Optimization) -> None:
    html = to_html(result)
    assert html.count("plotly.js v") == 1
    assert html.count("Plotly.newPlot(") == 4


def test_text_from_files_stays_text(page: _Page, result: Optimization) -> None:
    assert "img" not in [tag for tag, _ in page.seen]
    text = "".join(page.text)
    assert f"all-MiniLM-L6-v2 {HOSTILE}" in text
    assert f"a paper {HOSTILE}" in text
    inside_scripts = re.findall(r"Plotly\.newPlot\(.*?</script>", to_html(result), re.DOTALL)
    assert inside_scripts
    assert not any("<img" in script for script in inside_scripts)


def test_the_page_shows_every_row_and_its_figures(page: _Page, result: Optimization) -> None:
    text = "".join(page.text)
    for number, decision in enumerate(result.decisions, 1):
        assert f"{number}. {decision.name}" in text
        assert shown.quantity(decision.cycles, "") in text
        assert shown.joules(decision.energy_pj) in text
        assert shown.energy_delay(decision.edp_pj_s) in text
    first, last = result.decisions[0], result.decisions[-1]
    assert shown.gain(first.cycles, last.cycles) in text
    assert "0.9912" in text
    assert "86.41" in text
    for heading in ("Roofline", "Predicted against simulated", "Schedules", "Sources"):
        assert heading in text


def test_the_page_holds_each_distinct_loop_nest_with_its_certificate(
    page: _Page, result: Optimization
) -> None:
    text = "".join(page.text)
    # Five distinct matmuls a decision (the four square ones run alike), in six layers each.
    assert text.count("5 distinct schedules") == len(result.decisions)
    assert text.count("matmul, 24 times, ") == len(result.decisions)
    assert text.count("optimal: 4,608 mappings") == 5 * len(result.decisions)
    assert "layer0.w1 + layer0.gelu" in text


def test_the_page_says_how_much_of_the_time_is_simulated(page: _Page, result: Optimization) -> None:
    shares = []
    for decision in result.decisions:
        done = sum(o.cycles for o in decision.operators if o.claim is Claim.SIMULATED)
        shares.append(shown.percent(done / decision.cycles))
    assert f"for {' / '.join(shares)} of the rows' time" in "".join(page.text)


def test_a_result_without_pairs_mappings_or_files_still_renders(result: Optimization) -> None:
    decision = result.decisions[0]
    bare = tuple(
        dataclasses.replace(o, mapping=None, certificate=None, predicted_cycles=None)
        for o in decision.operators
    )
    lone = dataclasses.replace(decision, operators=bare)
    only = dataclasses.replace(result, decisions=(lone,), files={}, sources={}, pairs=0)
    html = to_html(only)
    assert "Schedules" not in html.split("</script>")[-1]
    assert _printed(only, 100)


def test_write_report_writes_utf8(tmp_path: Path, result: Optimization) -> None:
    path = tmp_path / "report.html"
    write_report(result, path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def _printed(result: Optimization, width: int) -> str:
    console = Console(width=width, no_color=True, force_terminal=False, record=True, quiet=False)
    with console.capture() as capture:
        console.print(to_tables(result))
    return capture.get()


@pytest.mark.parametrize("width", [100, 120])
def test_the_terminal_tables_fit_and_need_no_colour(result: Optimization, width: int) -> None:
    text = _printed(result, width)
    assert "\x1b" not in text
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    for decision in result.decisions[:4]:
        assert shown.quantity(decision.cycles, "") in text
        assert shown.joules(decision.energy_pj) in text
    assert "[bold]" in text.replace("\n", "")
    for head in ("softmax", "norm", "activation", "residual add", "(de)quant", "worst"):
        assert head in text


def figures_in(text: str) -> Counter[str]:
    """The numbers of a text, units and signs left out."""
    return Counter(re.findall(r"\d[\d,.]*", text))


def test_eighty_columns_lose_no_figure(result: Optimization) -> None:
    plain = dataclasses.replace(
        result,
        decisions=tuple(
            dataclasses.replace(decision, name=decision.name.replace(HOSTILE, "schedule"))
            for decision in result.decisions
        ),
    )

    def rendered(width: int) -> str:
        console = Console(width=width, no_color=True, record=True, quiet=False)
        with console.capture() as capture:
            console.print(to_tables(plain))
        return capture.get()

    narrow, wide = rendered(80), rendered(160)
    assert "…" not in narrow
    # Names may be folded in the middle; what is compared are the cells of figures.
    names = {d.name for d in plain.decisions} | {d.accelerator for d in plain.decisions}
    tail = {figure for name in names for figure in figures_in(name)}
    lost = figures_in(wide) - figures_in(narrow)
    assert {figure for figure in lost if figure not in tail} == set()
    assert narrow.count("%") == wide.count("%")


def test_json_holds_the_result_and_its_totals(result: Optimization) -> None:
    data = json.loads(json.dumps(to_json(result), allow_nan=False))
    assert data["schema_version"] == SCHEMA_VERSION == 2
    assert [d["name"] for d in data["decisions"]] == [d.name for d in result.decisions]
    first, last = data["decisions"][0], data["decisions"][-1]
    assert first["gain_over_above"] is None
    assert last["gain_over_first"]["latency"] == first["cycles"] / last["cycles"]
    assert last["gain_over_first"]["edp"] == pytest.approx(first["edp_pj_s"] / last["edp_pj_s"])
    for decision, given in zip(data["decisions"], result.decisions, strict=True):
        assert decision["cycles"] == given.cycles == sum(decision["cycles_by_work"].values())
        assert set(decision["cycles_by_work"]) == {work.value for work in Work}
        assert len(decision["operators"]) == len(given.operators)
    assert data["sources"]["gemmini"]["clock_hz"]["claim"] == "assumed"


def test_json_keys_of_version_two(result: Optimization) -> None:
    data = to_json(result)
    assert sorted(data) == [
        "calibration_samples", "decisions", "files", "inferstack_version", "model", "pairs",
        "samples", "schema_version", "seq_len", "sources", "task", "truncated", "unit",
    ]  # fmt: skip
    assert sorted(data["decisions"][0]) == [
        "accelerator", "accuracy", "array_utilization", "bit_exact_tensors", "clock_hz", "cycles",
        "cycles_by_work", "description", "dram_bytes", "dram_bytes_per_cycle", "edp_pj_s",
        "energy_pj", "gain_over_above", "gain_over_first", "latency_s", "name", "operators",
        "peak_macs_per_cycle", "schedules_kept_from_the_row_above",
    ]  # fmt: skip
    assert sorted(data["decisions"][0]["operators"][0]) == [
        "certificate", "claim", "compulsory_dram_bytes", "cycles", "cycles_by_work", "dram_bytes",
        "energy_pj", "fused", "kind", "macs", "mapping", "name", "predicted_cycles",
        "prediction_error", "unit",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0 s"),
        (0.00152, "s", "1.52 ms"),
        (999.6, "B", "1.00 kB"),
        (999.4, "B", "999 B"),
        (12_345_678, "", "12.3 M"),
        (9.999e6, "", "10.0 M"),
        (426e6, "", "426 M"),
        (3.09e-5, "Js", "30.9 µJs"),
        (1e18, "B", "1000 PB"),
        (1e-16, "J", "0.10 fJ"),
    ],
)
def test_quantities_have_three_digits_and_a_unit(value: float, unit: str, text: str) -> None:
    assert shown.quantity(value, unit) == text


def test_shares_gains_and_errors_as_text() -> None:
    assert [shown.percent(x) for x in (0, 0.00001, 0.004, 0.5)] == [
        "0 %",
        "<0.01 %",
        "0.40 %",
        "50.0 %",
    ]
    assert [shown.gain(100, x) for x in (80, 8, 0.8, 0)] == ["1.25×", "12.5×", "125×", "–"]
    assert [shown.signed_percent(x) for x in (-0.024, 0.1, -0.0002, 0.0004, 0)] == [
        "-2.4 %",
        "+10.0 %",
        "0.0 %",
        "0.0 %",
        "0.0 %",
    ]


def test_a_report_path_is_checked_before_the_work(tmp_path: Path) -> None:
    check_report_path(tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
    missing = tmp_path / "none" / "report.html"
    with pytest.raises(InputError) as caught:
        check_report_path(missing)
    assert str(caught.value) == (
        f"--report {missing}: the folder {missing.parent} does not exist\n\n"
        f"hint: create it: mkdir -p {missing.parent}"
    )
    assert caught.value.exit_code == 2
    with pytest.raises(InputError, match="is a folder; need the path of a file"):
        check_report_path(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not a folder"):
        check_report_path(tmp_path / "file" / "report.html")


def test_accuracy_by_length_stands_in_every_form_of_the_report(
    result: Optimization, page: _Page
) -> None:
    """A row per model, not per decision: here all five rows have one."""
    parts = result.decisions[0].quality.by_length
    text = "".join(page.text)
    assert text.count("1 to 16") == 1
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(to_tables(result))
    terminal = console.export_text()
    for part in parts:
        for cosine in (part.mean_cosine, part.worst_cosine):
            assert f"{cosine:.4f}" in text
            assert f"{cosine:.4f}" in terminal
    assert "17 to 32" in terminal
    assert to_json(result)["decisions"][0]["accuracy"]["by_length"] == [
        {
            "least_tokens": part.least,
            "most_tokens": part.most,
            "samples": part.samples,
            "mean_cosine": part.mean_cosine,
            "worst_cosine": part.worst_cosine,
        }
        for part in parts
    ]


@pytest.mark.parametrize("out", ["model", "model/inside", "link", "model/../model"])
def test_results_never_lie_in_the_folder_of_the_model(tmp_path: Path, out: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "model")
    with pytest.raises(InputError, match="lies in the folder of the model"):
        check_apart(tmp_path / out, tmp_path / "model")
    check_apart(tmp_path / "apart", tmp_path / "model")


@pytest.mark.parametrize("out", [".", "model/..", "../", "link/.."])
def test_results_never_lie_around_the_folder_of_the_model(tmp_path: Path, out: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "model")
    with pytest.raises(InputError, match="holds the folder of the model"):
        check_apart(tmp_path / out, tmp_path / "model")
