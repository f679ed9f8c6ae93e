"""Predicted against simulated: cycles within the stated error, bytes and energy exactly."""

from __future__ import annotations

import numpy as np
import pytest
from tests.mapping.conftest import encoder_layer, gemmini

from inferstack.core.infeasible import Infeasible
from inferstack.cost.figures import OBJECTIVES
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.ir.graph import Graph
from inferstack.mapping.kernels import kernels_of
from inferstack.mapping.tiled import tiling_of
from inferstack.schedule.contraction import best_schedule
from inferstack.schedule.programs import schedule_programs
from inferstack.simulate.run import Simulator, simulate_graph, simulate_operator

MACHINES = ("gemmini", "gemmini-ibert")
OBJECTIVES_AND_GREEDY = ("greedy", *OBJECTIVES)


def mapped(graph: Graph, machine: Accelerator, objective: str) -> dict[str, Scheduled]:
    """The schedules, which must exist."""
    found = schedule_programs(
        kernels_of(graph),
        machine,
        lambda wanted, machine, rest: best_schedule(wanted, machine, objective, rest=rest),
        "edp",
        fuse=False,
    )
    assert not isinstance(found, Infeasible)
    return {group.kernels[0]: group.schedules[0] for group in found.groups}


def table_bytes(graph: Graph, name: str) -> int:
    """Bytes of scales that the store queue reads: 5 per entry, not part of a mapping's traffic."""
    operator = next(op for op in graph.operators if op.name == name)
    return (
        5 * graph.operands(operator)["multiplier"].elements
        if "multiplier" in operator.inputs
        else 0
    )


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "size",
    [
        pytest.param((128, 384, 12, 1536), id="minilm"),
        pytest.param((512, 768, 12, 3072), id="base", marks=pytest.mark.slow),
    ],
)
def test_cycles_of_every_matmul(size: tuple[int, int, int, int], machine: str) -> None:
    """Within 5 %, mean within 1 %; bytes and energy are the simulator's own."""
    graph = encoder_layer(*size)
    accelerator = gemmini(machine)
    simulator, errors = Simulator(accelerator), []
    for objective in OBJECTIVES_AND_GREEDY:
        for name, schedule in mapped(graph, accelerator, objective).items():
            operator = next(op for op in graph.operators if op.name == name)
            run = simulate_operator(graph, operator, schedule.mapping, accelerator, simulator)
            errors.append(schedule.cost.cycles / run.cycles - 1)
            timing = run.timing
            tables = table_bytes(graph, name)
            spilled = schedule.cost.dram_written_bytes > graph.result(operator).size_bytes
            if not spilled:
                assert schedule.cost.dram_read_bytes == timing.dram_read_bytes - tables
            assert schedule.cost.dram_written_bytes == timing.dram_written_bytes
            assert schedule.cost.energy_pj == pytest.approx(run.energy_pj, rel=0.005)
    assert max(map(abs, errors)) < 0.05
    assert np.mean(np.abs(errors)) < 0.01


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("objective", OBJECTIVES_AND_GREEDY)
@pytest.mark.parametrize("size", [(24, 32, 2, 80), (40, 64, 4, 96), (128, 64, 2, 16)])
def test_every_schedule_gives_the_reference_values(
    size: tuple[int, int, int, int], objective: str, machine: str
) -> None:
    graph = encoder_layer(*size)
    random = np.random.default_rng(1)
    feeds = {
        name: random.integers(-127, 128, (2, *graph.tensors[name].shape[1:])).astype(np.int8)
        for name in graph.inputs
    }
    small = gemmini(machine, scratchpad=4096, accumulator=8192)
    found = mapped(graph, small, objective)
    schedules = {name: schedule.mapping for name, schedule in found.items()}
    run = simulate_graph(graph, schedules, small, feeds)
    assert run.checked == 2 * len(graph.operators)


def test_kept_and_refetched_operands_are_among_them() -> None:
    """The greedy schedules above have both, so that their values are checked too."""
    tilings = []
    for size in ((24, 32, 2, 80), (40, 64, 4, 96), (128, 64, 2, 16)):
        machine = gemmini(scratchpad=4096, accumulator=8192)
        found = mapped(encoder_layer(*size), machine, "greedy")
        for schedule in found.values():
            tiling = tiling_of(schedule.mapping, schedule.contraction, machine)
            assert tiling is not None
            tilings.append(tiling)
    assert any(tiling.refetched for tiling in tilings)
    assert any(tiling.whole for tiling in tilings)


def test_equal_shapes_are_searched_once() -> None:
    graph = encoder_layer(128, 384, 12, 1536)
    found = mapped(graph, gemmini(), "edp")
    assert found["query"].mapping.operator == "query"
    assert list(found) == [operator.name for operator in graph.operators]
