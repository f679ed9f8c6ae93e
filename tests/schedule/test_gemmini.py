"""Gemmini's heuristic: the tiles and reload factors of the survey's machines (Kim et al. 2023)."""

from __future__ import annotations

import pytest
from tests.mapping.conftest import gemmini, matmul

from inferstack.core.infeasible import Infeasible
from inferstack.cost.cost import cost
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Loop, Mapping, Store
from inferstack.schedule.gemmini import greedy, greedy_blocks

KIB = 1024


def machine(scratchpad_kib: int, accumulator_kib: int) -> Accelerator:
    """Gemmini with another split of its memory."""
    return gemmini(scratchpad=scratchpad_kib * KIB, accumulator=accumulator_kib * KIB)


PROJECTION = matmul(512, 768, 768)
W1 = matmul(512, 3072, 768)
SCORES = matmul(512, 512, 64, output_bits=32, transposed=True)


@pytest.mark.parametrize(
    ("split", "blocks"),
    [
        ((256, 64), (5, 5, 48)),
        ((256, 128), (8, 8, 32)),
        ((256, 256), (11, 11, 23)),
        ((64, 256), (11, 11, 5)),
    ],
)
def test_tiles_of_the_projection(split: tuple[int, int], blocks: tuple[int, int, int]) -> None:
    assert greedy_blocks(PROJECTION, machine(*split)) == blocks


@pytest.mark.parametrize(
    ("wanted", "factors"),
    [
        (PROJECTION, (8.2, 4.8, 3.8, 3.8)),
        (W1, (11.6, 6.9, 5.1, 5.1)),
        (SCORES, (6.5, 4.0, 3.0, 3.0)),
    ],
    ids=["projection", "W1", "QxK"],
)
def test_operand_loads_over_compulsory(wanted: Contraction, factors: tuple[float, ...]) -> None:
    for split, factor in zip(((256, 64), (256, 128), (256, 256), (64, 256)), factors, strict=True):
        mapping = greedy(wanted, machine(*split))
        assert isinstance(mapping, Mapping)
        found = cost(mapping, wanted, machine(*split))
        loads = sum(found.accesses["dram", slot].read_bytes for slot in "ab")
        compulsory = 512 * wanted.extents["k"] + wanted.extents["k"] * wanted.extents["n"]
        assert round(loads / compulsory, 1) == factor


def test_loops_go_i_j_k() -> None:
    mapping = greedy(PROJECTION, machine(64, 256))
    assert isinstance(mapping, Mapping)
    stores = [i for i, node in enumerate(mapping.nodes) if isinstance(node, Store)]
    loops = [node for node in mapping.nodes[: stores[-1]] if isinstance(node, Loop)]
    assert loops == [Loop("m", 176), Loop("n", 176), Loop("k", 80)]


def test_an_operand_of_two_tiles_is_loaded_once() -> None:
    """QxK of MiniLM at l=128: tiles of 5x6 blocks, so that K takes two; K is loaded once."""
    wanted = matmul(128, 128, 32, output_bits=32, transposed=True)
    assert greedy_blocks(wanted, machine(256, 64)) == (5, 6, 2)
    mapping = greedy(wanted, machine(256, 64))
    assert isinstance(mapping, Mapping)
    assert mapping.nodes[0] == Store("b", "scratchpad")
    found = cost(mapping, wanted, machine(256, 64))
    assert found.accesses["dram", "b"].read_bytes == 128 * 32


def test_whole_rows_for_a_normalisation() -> None:
    """Half of 128 KiB holds one 16-row tile of 768 columns, half of 256 KiB two (survey 5.2)."""
    wide = greedy_blocks(PROJECTION, machine(256, 128), whole_rows=True)
    wider = greedy_blocks(PROJECTION, machine(256, 256), whole_rows=True)
    assert not isinstance(wide, Infeasible)
    assert not isinstance(wider, Infeasible)
    assert (wide[:2], wider[:2]) == ((1, 48), (2, 48))


def test_whole_rows_that_do_not_fit() -> None:
    found = greedy_blocks(PROJECTION, machine(256, 64), whole_rows=True)
    assert isinstance(found, Infeasible)
    assert found.message() == (
        "accumulator of gemmini, tensor out of matmul: does not fit; "
        "got a demand of 49,152 bytes, need at most 32,768 bytes\n\n"
        "hint: a larger accumulator; or the operator unfused"
    )
