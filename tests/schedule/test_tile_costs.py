"""The compiled arithmetic of the search over tiles gives what the one cost gives, tile by tile."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tests.cost.test_pinned_programs import machine, problem

from inferstack.core.errors import MappingError
from inferstack.cost.cost import cost
from inferstack.cost.programs import packed
from inferstack.cost.programs.pack import energies
from inferstack.cost.programs.pack import machine as packed_machine
from inferstack.cost.programs.pack import problem as packed_problem
from inferstack.cost.programs.tiled import fixed_energy_pj
from inferstack.mapping.tiled import Tiling, tiled_mapping
from inferstack.schedule.tiles import enumerate as kernel


@pytest.mark.parametrize("part", range(4))
def test_every_tile_costs_what_it_costs(part: int) -> None:
    compared = spilled = 0
    for seed in range(40 * part, 40 * part + 40):
        chance = random.Random(seed)
        accelerator, (wanted, drawn) = machine(chance), problem(chance)
        q = packed_problem(wanted, accelerator)
        p = packed_machine(accelerator, wanted.epilogue)
        pj = energies(accelerator, fixed_energy_pj(wanted, accelerator))
        for number, order in enumerate(packed.ORDERS):
            mapping = tiled_mapping(
                wanted, accelerator, Tiling(tile=drawn.tile, order=order), wanted.epilogue.names
            )
            try:
                expected = cost(mapping, wanted, accelerator)
            except MappingError:
                continue
            found = np.empty(4, dtype=np.float64)
            kernel.cost_of(*drawn.tile, packed.ORDER_DIMS[number], q, p, pj, found)
            assert found[kernel.CYCLES] == expected.cycles
            assert found[kernel.ENERGY] == pytest.approx(expected.energy_pj, rel=1e-12)
            assert found[kernel.DRAM] == pytest.approx(expected.dram_bytes, abs=2)
            assert found[kernel.EDP] == found[kernel.CYCLES] * found[kernel.ENERGY]
            compared += 1
            result = wanted.extents["m"] * wanted.extents["n"] * wanted.batch
            spilled += expected.dram_written_bytes > 5 * result
    assert compared > 80
    assert spilled > 5
