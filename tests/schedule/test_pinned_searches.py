"""What searches find and what they have to look at, pinned.

That it is the optimum is held by enumeration (`test_nests.py`, `test_tiles.py`). That bounds and
dominance still spare the work shows here: a search that looks at more fails too.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from tests.mapping.conftest import gemmini, whole_layer
from tests.mapping.conftest import matmul as product
from tests.mapping.machines import hierarchy, padded, placed, small_contraction
from tests.pinned import Pins, plain

from inferstack.core.infeasible import Infeasible
from inferstack.cost.figures import OBJECTIVES
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.load import load_accelerator
from inferstack.mapping.epilogue import Epilogue
from inferstack.mapping.kernels import kernels_of
from inferstack.mapping.nest import Loop, Mapping, Spatial
from inferstack.mapping.shapes import convolution, matmul
from inferstack.schedule.contraction import GREEDY, best_schedule
from inferstack.schedule.nests.optimum import optimum
from inferstack.schedule.nests.sample import Sampler
from inferstack.schedule.plan import plan
from inferstack.schedule.searcher import Searcher


def words(mapping: Mapping) -> str:
    """A mapping on one line."""
    found = []
    for node in mapping.nodes:
        if isinstance(node, Loop):
            found.append(f"{node.dim}{node.step}")
        elif isinstance(node, Spatial):
            found.append(f"{node.dim}{node.extent}x{node.step}@{node.axis}")
        else:
            found.append(f"{node.slot}>{node.level}{'*' if node.refetched else ''}")
    return " ".join(found)


def figures(found: Scheduled | Infeasible) -> object:
    """The mapping, what it costs, and the counts of its proof."""
    if isinstance(found, Infeasible):
        return plain(found)
    proof, cost = found.certificate, found.cost
    counts = [] if proof is None else [
        proof.space_size,
        proof.misfits,
        proof.evaluated,
        proof.pruned_by_bound,
        proof.pruned_by_dominance,
        proof.open,
        proof.bound,
        proof.optimal,
    ]  # fmt: skip
    return [words(found.mapping), cost.cycles, cost.energy_pj, cost.dram_bytes, counts]


MOST_PLACES = 4
"""Levels and fan-outs of a machine: beyond, a search takes seconds."""


@pytest.mark.parametrize("part", range(2))
def test_searches_over_nests(part: int, pinned: Pins) -> None:
    found: dict[str, object] = {}
    for seed in range(70 * part, 70 * part + 70):
        chance = random.Random(1000 + seed)
        machine = hierarchy(chance, roomy=seed % 3 == 0)
        wanted = small_contraction(chance, most=5)
        if len(machine.levels) + len(machine.fan_outs) > MOST_PLACES:
            continue
        if seed % 4 == 1:
            wanted = padded(chance, wanted)
        if seed % 5 == 2:
            wanted = placed(chance, wanted, machine)
        objective = OBJECTIVES[seed % 4]
        perfect = seed % 2 == 0
        found[f"{seed:03}"] = figures(optimum(wanted, machine, objective, perfect=perfect))
    pinned(f"nests_{part}", found)


def test_searches_of_real_sizes(pinned: Pins) -> None:
    """On two levels with 64 x 64 multipliers in 4 x 4 instances, and without."""
    found: dict[str, object] = {}
    wanted = {
        "matmul": matmul(m=96, n=128, k=80),
        "convolution": convolution(n=24, c=16, p=14, q=14, r=3, s=3, padding=1),
        "strided": convolution(n=16, c=12, p=7, q=7, r=3, s=3, stride=2),
    }
    for name, one in wanted.items():
        for seed in (3, 4, 8):
            chance = random.Random(seed)
            machine = hierarchy(chance, roomy=True)
            levels = tuple(
                replace(v, capacity_bytes=2048 * (9 - n)) if n else v
                for n, v in enumerate(machine.levels)
            )
            machine = replace(machine, levels=levels)
            for objective in ("edp", "latency"):
                key = f"{name} {seed} {objective}"
                found[key] = figures(optimum(one, machine, objective, perfect=True))
    pinned("nests_real", found)


def test_searches_over_tiles(pinned: Pins) -> None:
    found: dict[str, object] = {}
    epilogues = (
        Epilogue(),
        Epilogue(names=("g",), kinds=("gelu",), output_bits=8),
        Epilogue(
            names=("r", "l"),
            kinds=("add", "layernorm"),
            output_bits=8,
            residual_bits=(8,),
            scaled=(True,),
        ),
    )
    for seed in range(30):
        chance = random.Random(seed)
        scratchpad, accumulator = chance.choice((2048, 4096, 65536)), chance.choice((2048, 16384))
        machine = gemmini("gemmini-ibert", scratchpad=scratchpad, accumulator=accumulator)
        sizes = {dim: chance.choice((1, 16, 24, 40, 64, 100, 160)) for dim in "mnk"}
        wanted = product(
            **sizes,
            output_bits=chance.choice((8, 32)),
            bias_bits=chance.choice((None, 32)),
            transposed=chance.random() < 0.4,
            heads=chance.choice((1, 1, 3)),
        )
        wanted = replace(wanted, epilogue=chance.choice(epilogues))
        rest = chance.choice(((0.0, 0.0), (1000.0, 5e5)))
        for objective in (GREEDY, OBJECTIVES[seed % 4]):
            perfect = seed % 3 == 0
            made = best_schedule(wanted, machine, objective, perfect=perfect, rest=rest)
            found[f"{seed:02} {objective}"] = figures(made)
    pinned("tiles", found)


@pytest.mark.parametrize("objective", ["edp", "latency"])
def test_plans_of_programs(objective: str, pinned: Pins) -> None:
    """An integer encoder layer: what is fused to what, and the proof over all ways to fuse."""
    machine = gemmini("gemmini-ibert", scratchpad=4096, accumulator=8192)
    graph = kernels_of(whole_layer(24, 32, 2, 80))
    found: dict[str, object] = {}
    for fuse in (True, False):
        made = plan(graph, machine, Searcher(objective), fuse=fuse)
        assert not isinstance(made, Infeasible)
        found[f"fuse {fuse}"] = [
            [
                [row.name, row.times, row.cost.cycles, row.cost.energy_pj, row.cost.dram_bytes]
                for row in made.rows
            ],
            [[s.contraction.name, figures(s), s.proof.space] for s in made.alone],
            [
                [s.contraction.name, figures(s), s.proof.space]
                for row in made.rows
                for s in row.cost.schedules
            ],
            plain(made.totals),
            plain(made.proof),
        ]
    pinned(f"programs_plan_{objective}", found)


def test_random_mappings(pinned: Pins) -> None:
    found: dict[str, object] = {}
    machine = load_accelerator("peers-target")
    for filled in (False, True):
        for perfect in (False, True):
            wanted = matmul(m=24, n=32, k=20)
            sampler = Sampler(wanted, machine, perfect=perfect, filled=filled)
            drawn = sampler.draw(10, 7)
            energies = drawn.figures.energy_pj.tolist()
            key = f"perfect {perfect}, filled {filled}"
            found[key] = [sampler.size, drawn.drawn, drawn.figures.cycles.tolist(), energies]
    pinned("random_mappings", found)
