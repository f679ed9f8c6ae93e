"""Cost of tiled schedules on machines that run programs, pinned: the model has no second formula.

`test_prediction.py` holds it against the simulator within its stated error.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from tests.mapping.conftest import gemmini, matmul
from tests.pinned import Pins

from inferstack.core.errors import MappingError
from inferstack.core.infeasible import Infeasible
from inferstack.cost.cost import cost
from inferstack.cost.programs.vector import VectorOperator, vector_cost
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.epilogue import Epilogue
from inferstack.mapping.tiled import Tiling, tiled_mapping

ORDERS = ("mnk", "mkn", "nmk", "nkm", "kmn", "knm")
EPILOGUES = (
    Epilogue(),
    Epilogue(),
    Epilogue(names=("g",), kinds=("gelu",), output_bits=8),
    Epilogue(names=("s",), kinds=("softmax",), output_bits=8),
    Epilogue(
        names=("r", "l"),
        kinds=("add", "layernorm"),
        output_bits=8,
        residual_bits=(8,),
        scaled=(True,),
    ),
    Epilogue(
        names=("r", "t"),
        kinds=("add", "add"),
        output_bits=32,
        residual_bits=(8, 32),
        scaled=(True, False),
    ),
)


def machine(chance: random.Random) -> Accelerator:
    """A Gemmini of other queues, widths and latencies."""
    made = gemmini("gemmini-ibert", scratchpad=2**17, accumulator=2**17)
    levels = tuple(
        replace(one, double_buffered=chance.random() < 0.7) if one.capacity_bytes else one
        for one in made.levels
    )
    dma = replace(
        made.dma,
        bus_bytes=chance.choice((4, 8, 16)),
        requests_in_flight=chance.choice((2, 16)),
        read_latency_cycles=chance.choice((5, 60, 200)),
        write_latency_cycles=chance.choice((3, 20)),
        load_queue=chance.choice((2, 8)),
        store_queue=chance.choice((1, 2, 8)),
    )
    array = replace(made.array, pass_cycles=chance.choice((8, 16, 24)))
    assert made.vector_unit is not None
    unit = replace(made.vector_unit, lanes=chance.choice((4, 16)))
    return replace(made, levels=levels, dma=dma, array=array, vector_unit=unit)


def problem(chance: random.Random) -> tuple[Contraction, Tiling]:
    """A product of odd sizes, and a tiling of it."""
    epilogue = chance.choice(EPILOGUES)
    sizes = {dim: chance.choice((1, 7, 16, 37, 64, 100, 130)) for dim in "mnk"}
    wanted = matmul(
        **sizes,
        output_bits=chance.choice((8, 32)),
        bias_bits=chance.choice((None, 32)),
        transposed=chance.random() < 0.4,
        heads=chance.choice((1, 1, 3)),
    )
    wanted = replace(
        wanted,
        epilogue=epilogue,
        row_factor_bits=0 if epilogue.kinds else chance.choice((0, 0, 32)),
    )
    steps = {dim: min(size, 16 * chance.randint(1, 5)) for dim, size in sizes.items()}
    if epilogue.whole_rows:
        steps["n"] = sizes["n"]
    return wanted, Tiling(
        tile=(steps["m"], steps["n"], steps["k"]),
        order=chance.choice(ORDERS),
        whole=chance.choice(((), (), ("a",), ("b",), ("a", "b"))),
        refetched=chance.choice(((), (), ("a",), ("a", "b"))),
    )


@pytest.mark.parametrize("part", range(4))
def test_tiled_schedules(part: int, pinned: Pins) -> None:
    found: dict[str, object] = {}
    for seed in range(30 * part, 30 * part + 30):
        chance = random.Random(seed)
        accelerator, (wanted, tiling) = machine(chance), problem(chance)
        names = wanted.epilogue.names
        mapping = tiled_mapping(wanted.finished, accelerator, tiling, names)
        try:
            made = cost(mapping, wanted, accelerator)
            found[f"{seed:03}"] = [
                made.cycles,
                made.energy_pj,
                [made.dram_read_bytes, made.dram_written_bytes, made.compulsory_dram_bytes],
                list(made.busy_cycles.values()),
                list(made.occupancy_bytes.values()),
            ]
        except MappingError as error:
            found[f"{seed:03}"] = error.what
    assert sum(isinstance(one, list) for one in found.values()) > 20
    pinned(f"tiled_schedules_{part}", found)


def test_vector_operators(pinned: Pins) -> None:
    found: dict[str, object] = {}
    for seed in range(60):
        chance = random.Random(seed)
        kind = chance.choice(("add", "gelu", "softmax", "layernorm"))
        bits = (chance.choice((8, 32)), 32) if kind == "add" else (chance.choice((8, 32)),)
        wanted = VectorOperator(
            name="v",
            kind=kind,
            batch=chance.choice((1, 1, 3)),
            rows=chance.choice((1, 15, 16, 100, 700)),
            columns=chance.choice((1, 16, 40, 300, 1000)),
            input_bits=bits,
            output_bits=32 if kind == "add" else 8,
            scaled=(chance.random() < 0.5, False) if kind == "add" else (),
        )
        made = vector_cost(wanted, machine(chance))
        if isinstance(made, Infeasible):
            found[f"{seed:03}"] = [made.resource, made.demand, made.limit]
        else:
            sums = [(a.read_bytes, a.written_bytes) for a in made.accesses.values()]
            found[f"{seed:03}"] = [made.cycles, made.energy_pj, made.dram_bytes, sums]
    pinned("vector_operators", found)
