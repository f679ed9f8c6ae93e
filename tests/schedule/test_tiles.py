"""The search finds what enumeration finds, over a space of the stated size."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mapping.conftest import gemmini, matmul

from inferstack.core.errors import MappingError, UnknownNameError
from inferstack.core.infeasible import Infeasible
from inferstack.cost.cost import Cost, cost
from inferstack.cost.figures import OBJECTIVES
from inferstack.cost.programs.packed import ORDERS
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping import legality
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.tiled import Tiling, tiled_mapping, tiling_of
from inferstack.schedule.tiles.optimum import search, tile_options

SIZES = st.sampled_from((1, 8, 16, 24, 32, 40, 48, 64, 70))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Contraction, Accelerator]:
    """Small matmuls on machines whose memories are tight."""
    wanted = matmul(
        draw(SIZES),
        draw(SIZES),
        draw(SIZES),
        output_bits=draw(st.sampled_from((8, 32))),
        bias_bits=draw(st.sampled_from((None, 32))),
        transposed=draw(st.booleans()),
        heads=draw(st.integers(1, 3)),
    )
    scratchpad = draw(st.sampled_from((1024, 2048, 4096, 8192, 65536)))
    accumulator = draw(st.sampled_from((2048, 4096, 8192, 65536)))
    return wanted, gemmini(scratchpad=scratchpad, accumulator=accumulator)


def enumerated(wanted: Contraction, machine: Accelerator) -> tuple[list[Cost], int]:
    """The costs of all mappings that fit, by the general model, and the size of the space."""
    options = [tile_options(wanted.extents[dim], 16).tolist() for dim in "mnk"]
    costs, size = [], 0
    for tile in itertools.product(*options):
        for order in ORDERS:
            size += 1
            mapping = tiled_mapping(wanted, machine, Tiling(tile=tile, order=order))
            nest = legality.checked(mapping, wanted, machine)
            if legality.misfit(nest, wanted, machine) is None:
                costs.append(cost(mapping, wanted, machine))
    return costs, size


@settings(max_examples=60, deadline=None)
@given(cases())
def test_the_optimum_is_that_of_enumeration(case: tuple[Contraction, Accelerator]) -> None:
    wanted, machine = case
    costs, size = enumerated(wanted, machine)
    for objective in OBJECTIVES:
        found = search(wanted, machine, objective)
        if not costs:
            assert isinstance(found, Infeasible)
            continue
        assert isinstance(found, Scheduled)
        best = min(c.value(objective) for c in costs)
        assert math.isclose(found.cost.value(objective), best, rel_tol=1e-12)
        proof = found.proof
        assert proof.optimal
        assert proof.space_size == size
        assert proof.misfits == size - len(costs)
        assert proof.space_size == (
            proof.misfits + proof.evaluated + proof.pruned_by_bound + proof.pruned_by_dominance
        )


@settings(max_examples=40, deadline=None)
@given(cases(), st.sampled_from(OBJECTIVES))
def test_pruning_changes_nothing(case: tuple[Contraction, Accelerator], objective: str) -> None:
    pruned = search(*case, objective)
    full = search(*case, objective, prune=False)
    if isinstance(pruned, Infeasible) or isinstance(full, Infeasible):
        assert pruned == full
        return
    assert pruned.mapping == full.mapping
    assert full.proof.pruned_by_bound == full.proof.pruned_by_dominance == 0


@settings(max_examples=200, deadline=None)
@given(cases(), st.sampled_from(ORDERS), st.data())
def test_a_tiled_mapping_is_recognised(
    case: tuple[Contraction, Accelerator], order: str, data: st.DataObject
) -> None:
    wanted, machine = case
    m, n, k = (
        data.draw(st.sampled_from(tile_options(wanted.extents[dim], 16).tolist())) for dim in "mnk"
    )
    whole, again = data.draw(st.sampled_from((((), ()), (("b",), ("a",)), (("a", "b"), ()))))
    tiling = Tiling(tile=(m, n, k), order=order, whole=whole, refetched=again)
    mapping = tiled_mapping(wanted, machine, tiling)
    found = tiling_of(mapping, wanted, machine)
    assert found is not None
    assert tiled_mapping(wanted, machine, found) == mapping


def test_the_same_input_gives_the_same_mapping() -> None:
    wanted, machine = matmul(512, 768, 768), gemmini()
    found = [search(wanted, machine, "edp") for _ in range(3)]
    assert found[0] == found[1] == found[2]


def test_an_unknown_objective() -> None:
    with pytest.raises(UnknownNameError) as error:
        search(matmul(16, 16, 16), gemmini(), "latencey")
    assert str(error.value) == (
        "search: unknown objective; got 'latencey'\n\n"
        "hint: did you mean 'latency'? objectives known: dram_bytes, edp, energy, latency"
    )


def test_nothing_fits() -> None:
    found = search(matmul(512, 768, 768), gemmini(scratchpad=1000), "latency")
    assert isinstance(found, Infeasible)
    assert found.message() == (
        "scratchpad of gemmini (half of it, as it is double buffered), tensor b of matmul: "
        "does not fit; got a demand of 512 bytes, need at most 500 bytes\n\n"
        "hint: at least 1024 bytes of scratchpad; or no double buffering of scratchpad"
    )


def test_a_tile_over_the_capacity() -> None:
    wanted, machine = matmul(512, 768, 768), gemmini()
    mapping = tiled_mapping(wanted, machine, Tiling(tile=(256, 256, 16), order="mnk"))
    with pytest.raises(MappingError) as error:
        cost(mapping, wanted, machine)
    assert str(error.value) == (
        "mapping of matmul: does not fit the accumulator of gemmini (half of it, as it is double "
        "buffered), tensor out of matmul; got 262144 bytes, need at most 32768\n\n"
        "hint: a smaller tile of out; or a larger accumulator"
    )
