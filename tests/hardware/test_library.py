"""The library's machines: conformance, and every derived figure worked again from its source."""

from __future__ import annotations

import dataclasses
import math

import pytest

from inferstack.core.errors import AcceleratorError, CheckFailedError, UnknownNameError
from inferstack.core.provenance import Claim
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.hardware.area import area, sram_pj_per_byte, with_capacities
from inferstack.hardware.load import load_accelerator
from inferstack.hardware.names import library_names
from inferstack.testing.accelerators import check_accelerator

KIB = 1024

# BERT-Base at l = 512: 12 layers, 12 heads, d = 768, FFN 3072 (survey section 3.4, Fig. 14 left).
BASELINE_CYCLES = 39.6 * 241e6
SCORES = 12 * 12 * 512 * 512
WIDTH = 12 * 512 * 768
SHARES_AND_ELEMENTS = {
    "softmax": (0.19, SCORES),
    "gelu": (0.10, 12 * 512 * 3072),
    "layernorm": (0.04, 2 * WIDTH),
    "add": (0.11, 2 * WIDTH),
    # Per layer: scores and probabilities; then, in units of l * d, the output projection, both
    # LayerNorms and W2 (4), W1 and GELU (8).
    "quantize": (0.49, 12 * (2 * 12 * 512 * 512 + 12 * 512 * 768)),
    "dequantize": (0.49, 12 * (2 * 12 * 512 * 512 + 12 * 512 * 768)),
}


@pytest.mark.parametrize("name", library_names())
def test_every_machine_of_the_library_keeps_the_rules(name: str) -> None:
    accelerator = load_accelerator(name)
    assert accelerator.name == name
    check_accelerator(accelerator)


SURVEY_MACHINES = ("gemmini", "gemmini-ibert", "gemmini-ibert-256-64", "survey-analytic")


def test_the_library_holds_the_survey_s_machines() -> None:
    assert set(SURVEY_MACHINES) <= set(library_names())


@pytest.mark.parametrize("name", ["gemmini", "gemmini-ibert-256-64", "gemmini-ibert"])
@pytest.mark.parametrize("kind", SHARES_AND_ELEMENTS)
def test_host_cycles_follow_from_the_survey_s_shares(name: str, kind: str) -> None:
    accelerator = load_accelerator(name)
    share, elements = SHARES_AND_ELEMENTS[kind]
    expected = share * BASELINE_CYCLES / elements
    assert accelerator.host.cycles_per_element[kind] == pytest.approx(expected, abs=0.005)
    source = accelerator.sources[f"host.cycles_per_element.{kind}"]
    assert source.claim is Claim.DERIVED
    assert f"{100 * share:.0f} % of 39.6 x 241 Mcycles" in source.text


@pytest.mark.parametrize("name", SURVEY_MACHINES)
def test_energies_follow_from_horowitz(name: str) -> None:
    accelerator = load_accelerator(name)
    assert accelerator.array.mac_pj == pytest.approx(0.2 + 0.1)
    outer, *inner = accelerator.levels
    assert outer.read_pj_per_byte == outer.write_pj_per_byte == 640 / 4
    for level in inner:
        assert level.capacity_bytes is not None
        expected = 5 / 4 * math.sqrt(level.capacity_bytes / (8 * KIB))
        assert level.read_pj_per_byte == pytest.approx(expected, abs=0.001)
        assert level.write_pj_per_byte == level.read_pj_per_byte


def test_the_sram_rule_fits_the_three_published_sizes() -> None:
    published_pj_per_64_bit = {8: 10, 32: 20, 1024: 100}
    for kib, pj in published_pj_per_64_bit.items():
        assert 8 * sram_pj_per_byte(kib * KIB) == pytest.approx(pj, rel=0.14)


@pytest.mark.parametrize(
    ("kind", "multiplies", "adds"),
    [("softmax", 3, 5), ("layernorm", 3, 4), ("gelu", 4, 3), ("add", 1, 1)],
)
def test_vector_energies_count_their_operations(kind: str, multiplies: int, adds: int) -> None:
    unit = load_accelerator("gemmini-ibert").vector_unit
    assert unit is not None
    assert unit.energy_pj[kind] == pytest.approx(3.1 * multiplies + 0.1 * adds)


def test_row_overheads_add_up_from_their_parts() -> None:
    unit = load_accelerator("gemmini-ibert").vector_unit
    assert unit is not None
    reduce, divide, root, reciprocal = 4, 32, 16, 26
    assert unit.row_overhead_cycles["softmax"] == (2 * reduce + reciprocal) / 2
    assert (
        unit.row_overhead_cycles["layernorm"] == (2 * reduce + 2 * divide + root + reciprocal) / 2
    )
    assert unit.passes == {"softmax": 2, "layernorm": 3, "gelu": 1, "add": 1}


def test_the_cnn_tuned_machine_leaves_everything_but_matmuls_to_the_host() -> None:
    gemmini = load_accelerator("gemmini")
    assert not any(gemmini.supports(k) for k in ("softmax", "layernorm", "gelu", "add", "quantize"))
    assert gemmini.level("scratchpad").capacity_bytes == 256 * KIB
    assert gemmini.level("accumulator").capacity_bytes == 64 * KIB
    assert gemmini.level("scratchpad").usable_bytes == 128 * KIB


def test_the_split_alone_tells_the_two_ibert_machines_apart() -> None:
    before, after = load_accelerator("gemmini-ibert-256-64"), load_accelerator("gemmini-ibert")
    swapped = with_capacities(
        before, {"scratchpad": 64 * KIB, "accumulator": 256 * KIB}, name="gemmini-ibert"
    )
    assert after.array == swapped.array
    assert after.vector_unit == swapped.vector_unit
    assert after.dma == swapped.dma
    assert after.host == swapped.host
    for level, expected in zip(after.levels, swapped.levels, strict=True):
        assert level.capacity_bytes == expected.capacity_bytes
        assert level.read_pj_per_byte == pytest.approx(expected.read_pj_per_byte, abs=0.001)
    check_accelerator(swapped)


def test_the_swap_is_nearly_neutral_in_area() -> None:
    before = area(load_accelerator("gemmini"))
    assert before.total_um2 == pytest.approx(1_029_000)
    swapped = with_capacities(
        load_accelerator("gemmini"), {"scratchpad": 64 * KIB, "accumulator": 256 * KIB}, name="swap"
    )
    # 690 K um2 of SRAM become 136 K + 584 K = 720 K: +3 % of the machine, +4 % of its SRAM.
    assert area(swapped).total_um2 / before.total_um2 == pytest.approx(1.03, abs=0.005)
    assert area(swapped).sram_um2 / before.sram_um2 == pytest.approx(1.043, abs=0.005)


def test_the_units_cost_the_survey_s_fourteen_percent() -> None:
    without, with_units = load_accelerator("gemmini"), load_accelerator("gemmini-ibert-256-64")
    assert area(with_units).total_um2 / area(without).total_um2 == pytest.approx(1.14)


def test_other_capacities_are_checked() -> None:
    gemmini = load_accelerator("gemmini")
    with pytest.raises(UnknownNameError, match="did you mean 'scratchpad'"):
        with_capacities(gemmini, {"scratchpda": 1}, name="x")
    with pytest.raises(AcceleratorError, match="capacity_bytes: out of range; got 0, need more"):
        with_capacities(gemmini, {"scratchpad": 0}, name="x")
    with pytest.raises(AcceleratorError, match="DRAM has no capacity"):
        with_capacities(gemmini, {"dram": 1}, name="x")


def _without_holder(accelerator: Accelerator) -> Accelerator:
    levels = tuple(
        dataclasses.replace(level, holds=level.holds - {Role.WEIGHT}) if i else level
        for i, level in enumerate(accelerator.levels)
    )
    return dataclasses.replace(accelerator, levels=levels)


def test_the_kit_convicts_broken_machines() -> None:
    gemmini = load_accelerator("gemmini")
    with pytest.raises(CheckFailedError, match="no level on the chip holds the weight"):
        check_accelerator(_without_holder(gemmini))
    sources = {k: v for k, v in gemmini.sources.items() if k != "array.rows"}
    nameless = dataclasses.replace(gemmini, sources=sources)
    with pytest.raises(CheckFailedError, match=r"array\.rows has no source"):
        check_accelerator(nameless)
    dma = dataclasses.replace(gemmini, dma=dataclasses.replace(gemmini.dma, request_bytes=40))
    with pytest.raises(CheckFailedError, match="no whole number of beats"):
        check_accelerator(dma)
    array = dataclasses.replace(gemmini.array, column_dims=("k",))
    twisted = dataclasses.replace(gemmini, array=array)
    with pytest.raises(CheckFailedError, match="along both axes"):
        check_accelerator(twisted)
