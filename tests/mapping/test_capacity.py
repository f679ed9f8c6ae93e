"""What levels hold, to the byte; whole rows, and steps of the first instance."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from inferstack.core.errors import MappingError
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping import legality
from inferstack.mapping.nest import Loop, Mapping, Node, Spatial, Store
from inferstack.mapping.shapes import matmul
from inferstack.ops.rule import Affine

from .nested import MACHINE, SIZES, WANTED, checked, completed, level


@pytest.mark.parametrize(
    ("bits", "blocks", "expected"),
    [(8, {}, 15), (4, {}, 8), (1, {}, 2), (8, {"m": 2}, 4 * 5), (8, {"m": 3, "k": 4}, 3 * 8)],
)
def test_a_tile_is_padded_to_blocks_and_to_bytes(
    bits: int, blocks: dict[str, int], expected: int
) -> None:
    a, _, out = (replace(operand, bits=bits) for operand in WANTED.operands)
    chunk = {"m": 3, "n": 2, "k": 5}
    assert legality.tile_bytes(a, chunk, MACHINE.levels[1], blocks) == expected
    sums = level("sums", "o", sums=12)
    assert legality.tile_bytes(out, chunk, sums, {}) == 9


def test_what_stays_on_the_chip_takes_whole_bytes_and_leaves_the_rest() -> None:
    a, b, out = WANTED.operands
    wanted = replace(
        WANTED,
        operands=(replace(a, bits=1, origin="own"), b, replace(out, bits=4, origin="own")),
    )
    assert legality.resident_bytes(wanted.operands[0], wanted) == 5
    odd = matmul(m=3, n=3, k=3)
    assert legality.resident_bytes(replace(odd.operands[0], bits=1), odd) == 2
    own = replace(MACHINE.levels[3], capacity_bytes=30)
    assert legality.usable_bytes(own, wanted) == 30 - 5 - 24
    assert legality.usable_bytes(replace(own, name="other"), wanted) == 30
    assert legality.usable_bytes(MACHINE.levels[1], wanted) is None
    halved = replace(own, double_buffered=True)
    assert legality.usable_bytes(halved, wanted) == 15 - 5 - 24


def small(**capacities: int) -> Accelerator:
    """The machine with capacities."""
    return dataclasses.replace(
        MACHINE,
        levels=tuple(
            replace(one, capacity_bytes=capacities.get(one.name)) for one in MACHINE.levels
        ),
    )


NODES = (
    Store("a", "shared"),
    Loop("n", 4),
    Store("b", "shared"),
    Loop("m", 2),
    Store("out", "own"),
    Store("a", "cluster"),
    Loop("k", 1),
    Loop("m", 1),
    Spatial("n", 4, "column"),
)
SHARED, CLUSTER, OWN = 8 * 5 + 5 * 4, 2 * 5, 2 * 4 * 4


def test_occupancy_is_by_level_and_operand() -> None:
    nest = checked(*NODES)
    assert legality.occupancy(nest, WANTED, MACHINE) == {
        ("shared", "a"): 40,
        ("shared", "b"): 20,
        ("own", "out"): OWN,
        ("cluster", "a"): CLUSTER,
    }
    a, b, out = WANTED.operands
    kept = replace(WANTED, operands=(a, b, replace(out, origin="shared")))
    assert legality.occupancy(nest, kept, MACHINE)["shared", "out"] == 48


def test_what_fits_to_the_byte_and_what_does_not() -> None:
    nest = checked(*NODES)
    exact = small(shared=SHARED, cluster=CLUSTER, own=OWN)
    assert legality.misfit(nest, WANTED, exact) is None
    for name, tensor in (("shared", "a"), ("cluster", "a"), ("own", "out")):
        size = {"shared": SHARED, "cluster": CLUSTER, "own": OWN}
        size[name] -= 1
        found = legality.misfit(nest, WANTED, small(**size))
        assert found is not None
        assert (found.demand, found.limit, found.unit) == (size[name] + 1, size[name], "bytes")
        assert found.resource == f"{name} of nested, tensor {tensor} of matmul"
        assert found.levers == (f"a smaller tile of {tensor}", f"a larger {name}")


def test_the_level_that_is_most_overfull_is_named() -> None:
    nest = checked(*NODES)
    for own, name in ((OWN - 1, "shared"), (2, "own")):
        found = legality.misfit(nest, WANTED, small(shared=SHARED // 2, own=own))
        assert found is not None
        assert found.resource.startswith(f"{name} of nested")
    even = legality.misfit(nest, WANTED, small(shared=SHARED // 2, own=OWN // 2))
    assert even is not None
    assert even.resource.startswith("shared of nested"), "the outer one of equals"


def test_half_of_a_double_buffer_is_named() -> None:
    machine = small(own=2 * OWN - 2)
    levels = tuple(replace(one, double_buffered=one.name == "own") for one in machine.levels)
    found = legality.misfit(checked(*NODES), WANTED, replace(machine, levels=levels))
    assert found is not None
    assert found.limit == OWN - 1
    assert found.resource == (
        "own of nested (half of it, as it is double buffered), tensor out of matmul"
    )


@pytest.mark.parametrize(("columns", "whole"), [(6, True), (5, False)])
@pytest.mark.parametrize("stored", [True, False])
def test_rows_are_whole_or_not(columns: int, whole: bool, stored: bool) -> None:
    """Loops inside of the output's store do not matter; without a store, all of them do."""
    outer: tuple[Node, ...] = (Loop("n", columns),)
    inner = completed(*outer, *((Store("out", "shared"),) if stored else ()))
    mapping = Mapping(operator="t", accelerator="nested", nodes=inner)
    nest = legality.checked(mapping, WANTED, MACHINE)
    if whole and stored:
        legality.need_whole_rows(mapping, nest, WANTED, "softmax")
        return
    with pytest.raises(MappingError) as error:
        legality.need_whole_rows(mapping, nest, WANTED, "softmax")
    assert error.value.what == "softmax needs whole rows of the output in one tile"
    assert error.value.got == f"{columns if stored else 1} columns"
    assert error.value.need == 6


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ((), 8 * 6 * 5),
        ((Spatial("n", 4, "column"),), 8 * 2 * 5),
        ((Loop("k", 3), Spatial("k", 3, "row")), 8 * 6 * 2),
        ((Spatial("m", 2, "x", 4),), 4 * 6 * 5),
        ((Spatial("m", 2, "x", 5),), 5 * 6 * 5),
        ((Spatial("m", 2, "x", 8),), 8 * 6 * 5),
        ((Loop("m", 5), Spatial("m", 2, "x", 3)), (3 + 3) * 6 * 5),
        ((Loop("m", 3), Spatial("m", 2, "x", 2)), (2 + 2 + 2) * 6 * 5),
        ((Loop("m", 7), Spatial("m", 2, "x", 4)), (4 + 1) * 6 * 5),
    ],
)
def test_steps_of_the_first_instance(nodes: tuple[Node, ...], expected: int) -> None:
    """Of 8 in fives, the first instance of two has 3, and all of the rest."""
    assert legality.steps(checked(*completed(*nodes)), WANTED) == expected


def test_padding_is_no_part_of_what_stays() -> None:
    a, *others = WANTED.operands
    rows = Affine((("m", 1),), offset=-1, size=6)
    inside = replace(a, indices=(rows, a.indices[1]))
    wanted = replace(WANTED, operands=(inside, *others))
    assert legality.resident_bytes(inside, wanted) == 6 * 5
    assert legality.tile_bytes(inside, SIZES, MACHINE.levels[1], {}) == 8 * 5
