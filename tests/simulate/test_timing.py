"""Cycles of small programs, worked out by hand for the Gemmini-like description.

Bus 16 B a cycle, 16 requests in flight, read latency 60, write latency 20, passes of 16 cycles, 31
cycles to fill the array.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inferstack.hardware.accelerator import Accelerator
from inferstack.simulate import isa, machine
from inferstack.simulate.run import Simulator, lower, simulate_graph

from .conftest import Maker, block, code, instruction, mapping, mvin, mvout


@pytest.mark.parametrize(
    ("rows", "cols", "cycles"),
    [
        (1, 16, 1 + 60 + 1),  # one beat, its latency, one cycle to write
        (16, 16, 16 + 60 + 1),  # one request a cycle
        (16, 64, 16 * 4 + 60 + 1),  # four beats a request
        (7, 20, 7 * 2 + 60 + 1),  # 20 B are two beats
    ],
)
def test_one_load(accelerator: Accelerator, rows: int, cols: int, cycles: int) -> None:
    timing = machine.time(code(mvin(0, rows, cols)), accelerator)
    assert timing.cycles == cycles
    assert timing.dram_read_bytes == timing.scratchpad_written_bytes == rows * cols


def test_requests_in_flight_limit_short_loads(accelerator: Accelerator) -> None:
    """The 17th request waits for the first to come back at 61; the 32nd leaves at 61 + 15."""
    program = code(mvin(0, 16, 16), mvin(16, 16, 16))
    assert machine.time(program, accelerator).cycles == 61 + 15 + 1 + 60 + 1


def test_a_repeated_row_is_read_once(accelerator: Accelerator) -> None:
    flags = isa.WIDE
    program = code(mvin(isa.ACCUMULATOR, 16, 16, flags=flags, stride=0))
    timing = machine.time(program, accelerator)
    assert timing.cycles == 4 + 60 + 16
    assert timing.dram_read_bytes == 64
    assert timing.accumulator_written_bytes == 16 * 64


def test_one_block(accelerator: Accelerator) -> None:
    """A at 77, B at 138; preload to 154, compute to 170, results at 201; 16 stores of 4 beats."""
    program = code(mvin(0, 16, 16), mvin(16, 16, 16, 1), *block(0, 16, 0), mvout(0, 16))
    timing = machine.time(program, accelerator, trace=True)
    assert timing.trace is not None
    ends = dict(zip(timing.trace["instruction"], timing.trace["end"], strict=True))
    assert [int(ends[i]) for i in range(5)] == [77, 138, 154, 201, 201 + 1 + 16 * 4 + 20]
    assert timing.cycles == 286
    assert timing.macs == 16**3
    assert timing.busy_cycles["array"] == 16


def test_preloads_hide_behind_computes(accelerator: Accelerator) -> None:
    """Ten pairs on resident blocks take 16 cycles each after the first preload."""
    pairs = [record for i in range(10) for record in block(0, 16, 16 * i)]
    timing = machine.time(code(*pairs), accelerator)
    assert timing.cycles == 16 + 10 * 16 + 31


def test_few_rows_take_a_whole_pass(accelerator: Accelerator) -> None:
    pairs = [record for i in range(10) for record in block(0, 16, 16 * i, rows=3)]
    assert machine.time(code(*pairs), accelerator).cycles == 16 + 10 * 16 + 31


def test_an_overwritten_tile_waits_for_its_reader(accelerator: Accelerator) -> None:
    """The third load overwrites A, which the array reads until 170; one elsewhere does not wait."""
    head = (mvin(0, 16, 16), mvin(16, 16, 16, 1), *block(0, 16, 0))
    waits = machine.time(code(*head, mvin(0, 16, 16)), accelerator)
    free = machine.time(code(*head, mvin(32, 16, 16)), accelerator)
    assert waits.cycles == 170 + 16 + 60 + 1
    assert waits.stalls["load waits for execute"] > 0
    assert free.cycles == 201
    assert free.stalls["load waits for execute"] == 0


def test_a_compute_waits_for_the_store_of_its_target(accelerator: Accelerator) -> None:
    """The second block goes to the rows that are stored until 262, or to others."""
    head = (mvin(0, 16, 16), mvin(16, 16, 16, 1), *block(0, 16, 0), mvout(0, 16))
    waits = machine.time(code(*head, *block(0, 16, 0)), accelerator)
    free = machine.time(code(*head, *block(0, 16, 16)), accelerator)
    assert waits.cycles == 262 + 16 + 31
    assert waits.stalls["execute waits for store"] > 0
    assert free.cycles == 286


def test_a_late_store_does_not_hold_back_loads(accelerator: Accelerator) -> None:
    """Loads behind a store in program order use the bus while the array computes."""
    head = (mvin(0, 16, 16), mvin(16, 16, 16, 1), *block(0, 16, 0))
    timing = machine.time(code(*head, mvout(0, 16), mvin(32, 16, 16)), accelerator, trace=True)
    assert timing.trace is not None
    last = timing.trace[timing.trace["instruction"] == 5]
    assert int(last["end"][0]) < 201


def test_partial_sums_are_read_after_they_are_written(accelerator: Accelerator) -> None:
    """A load of DRAM that a store writes waits until the data is there."""
    stored = mvout(0, 16, 2)
    back = mvin(isa.ACCUMULATOR | 16, 16, 16, 2, flags=isa.WIDE)
    elsewhere = mvin(isa.ACCUMULATOR | 16, 16, 16, 3, flags=isa.WIDE)
    stored_cycles = machine.time(code(stored), accelerator).cycles
    waits = machine.time(code(stored, back), accelerator)
    assert waits.cycles == stored_cycles + 16 * 4 + 60 + 1
    assert machine.time(code(stored, elsewhere), accelerator).cycles < waits.cycles


def test_a_fence_waits_for_everything(accelerator: Accelerator) -> None:
    fence = instruction(isa.FENCE)
    one = machine.time(code(mvin(0, 16, 64)), accelerator).cycles
    two = machine.time(code(mvin(0, 16, 64), fence, mvin(64, 16, 64)), accelerator)
    pairs = block(128, 144, 0)
    assert machine.time(code(mvin(0, 16, 64), fence, *pairs), accelerator).cycles == one + 63
    assert two.cycles == one + 64 + 61


def _steady(accelerator: Accelerator, tile: dict[str, int]) -> float:
    """Cycles per step of k between 16 and 32 steps."""
    cycles = []
    for steps in (16, 32):
        maker = Maker()
        k = steps * tile["k"]
        maker.matmul(maker.input("x", tile["m"], k), k, tile["n"])
        graph = maker.builder.build(("y",))
        schedule = mapping(graph, "y", "mnk", tile)
        cycles.append(simulate_graph(graph, {"y": schedule}, accelerator).cycles)
    return (cycles[1] - cycles[0]) / 16


def test_steady_state_is_the_slower_of_array_and_bus(accelerator: Accelerator) -> None:
    """64^3: 64 blocks of 16 cycles against 2 * 64 * 64 B / 16 B. 64 x 16 x 64: 256 against 320."""
    assert _steady(accelerator, {"m": 64, "n": 64, "k": 64}) == 1024
    wide = dataclasses.replace(
        accelerator, dma=dataclasses.replace(accelerator.dma, requests_in_flight=256, load_queue=64)
    )
    loads = 64 * 4 + 64
    assert _steady(wide, {"m": 64, "n": 16, "k": 64}) == max(64 * 4, loads)


def test_without_double_buffering_loads_and_products_take_turns(accelerator: Accelerator) -> None:
    tile = {"m": 64, "n": 64, "k": 64}
    levels = tuple(
        dataclasses.replace(level, double_buffered=False) if level.name == "scratchpad" else level
        for level in accelerator.levels
    )
    single = dataclasses.replace(accelerator, levels=levels)
    assert _steady(single, tile) > 1.2 * _steady(accelerator, tile)


def test_time_does_not_depend_on_data(accelerator: Accelerator) -> None:
    """Equal shapes give equal code, whatever the weights; the simulator times it once."""
    simulator = Simulator(accelerator)
    timings = []
    for seed in (1, 2):
        maker = Maker(seed)
        maker.matmul(maker.input("x", 40, 64), 64, 48)
        graph = maker.builder.build(("y",))
        schedule = mapping(graph, "y", "mnk", {"m": 16, "n": 32, "k": 32})
        program = lower(graph, graph.operators[0], schedule, accelerator)
        timings.append(simulator.timing(program))
        assert not np.array_equal(program.constants, np.zeros_like(program.constants))
    assert timings[0] is timings[1]


def test_counts_of_a_matmul(accelerator: Accelerator) -> None:
    """Every operand is moved once: bytes of A, B, bias, table and result; MACs m n k."""
    maker = Maker()
    maker.matmul(maker.input("x", 32, 64), 64, 48)
    graph = maker.builder.build(("y",))
    run = simulate_graph(
        graph, {"y": mapping(graph, "y", "mnk", {"m": 32, "n": 48, "k": 64})}, accelerator
    )
    timing = run.operators[0].timing
    assert timing.macs == 32 * 48 * 64
    bias = 2 * 48 * 4  # once per group of 16 rows
    assert timing.dram_read_bytes == 32 * 64 + 64 * 48 + bias + 48 * 5
    assert timing.dram_written_bytes == 32 * 48
    assert timing.scratchpad_written_bytes == 32 * 64 + 64 * 48
    assert timing.queue_counts["execute"] == 2 * (2 * 3 * 4)
