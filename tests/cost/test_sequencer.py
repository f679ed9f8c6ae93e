"""Traffic on any hierarchy equals what an interpreter counts, element by element."""

from __future__ import annotations

import random

import pytest
from tests.mapping.instances import Instances
from tests.mapping.machines import (
    hierarchy,
    padded,
    placed,
    random_mapping,
    small_contraction,
    uneven,
)
from tests.slow import slow

from inferstack.cost import sequencer
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping import legality
from inferstack.mapping.contraction import Contraction

MAPPINGS = 12_000
PARTS = 16


@pytest.mark.parametrize("part", [0, *slow(range(1, PARTS))])
def test_traffic_equals_the_interpreter(part: int) -> None:
    chance = random.Random(part)
    for _ in range(MAPPINGS // PARTS):
        machine = hierarchy(chance)
        wanted = placed(chance, small_contraction(chance), machine)
        if part % 2:
            wanted = padded(chance, wanted)
        check(wanted, machine, chance)


def test_traffic_of_experts_with_fewer_rows_equals_the_interpreter() -> None:
    chance = random.Random(5)
    for _ in range(MAPPINGS // PARTS // 2):
        machine = hierarchy(chance)
        check(placed(chance, uneven(chance), machine), machine, chance)


def check(wanted: Contraction, machine: Accelerator, chance: random.Random) -> None:
    """Of a random mapping."""
    mapping = random_mapping(chance, wanted, machine)
    nest = legality.checked(mapping, wanted, machine)
    found = sequencer.flows(nest, wanted, machine)
    oracle = Instances(mapping, wanted, machine)
    for counted, expected in zip(
        sequencer.flow_accesses(found, wanted, machine), oracle.bits(), strict=True
    ):
        bytes_moved = {k: (a.read_bytes, a.written_bytes) for k, a in counted.items()}
        whole = {k: (r // 8, w // 8) for k, (r, w) in expected.items()}
        assert {k: v for k, v in bytes_moved.items() if any(v)} == {
            k: v for k, v in whole.items() if any(v)
        }, mapping
    assert legality.steps(nest, wanted) == oracle.steps
    transfers = sorted((f.slot, f.transfers) for f in found)
    assert transfers == sorted((p.operand.slot, p.transfers) for p in oracle.all_places())
