"""The traffic of a nest equals what an interpreter counts, element by element."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.mapping.conftest import convolution, gemmini, matmul
from tests.mapping.interpreter import Interpreter, touched

from inferstack.cost.programs import traffic
from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping import legality
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Loop, Mapping, Node, Spatial, Store
from inferstack.ops.distinct import distinct

UNLIMITED = 1 << 40


def roomy(dataflow: str) -> Accelerator:
    """A machine on which everything fits, with an L2 for all operands and a 4x4 array."""
    machine = gemmini()
    dram, scratchpad, accumulator = machine.levels
    shared = dataclasses.replace(
        dram, name="l2", capacity_bytes=UNLIMITED, partial_sum_bits=16, double_buffered=True
    )
    array = dataclasses.replace(
        machine.array,
        rows=4,
        columns=4,
        dataflow=dataflow,
        row_dims=("k", "r"),
        column_dims=("n", "m"),
    )
    levels = (dram, shared, scratchpad, accumulator)
    return dataclasses.replace(
        machine,
        array=array,
        levels=tuple(
            dataclasses.replace(level, capacity_bytes=UNLIMITED) if level is not dram else level
            for level in levels
        ),
    )


MACHINES = tuple(roomy(f"{kept} stationary") for kept in ("weight", "output", "row"))


@st.composite
def contractions(draw: st.DrawFn) -> Contraction:
    """Small matmuls, batched ones and convolutions with stride and dilation."""
    size = st.integers(1, 7)
    if draw(st.booleans()):
        heads = draw(st.integers(1, 3))
        bits = draw(st.sampled_from((8, 32)))
        transposed = draw(st.booleans())
        return matmul(
            draw(size), draw(size), draw(size), heads=heads, output_bits=bits, transposed=transposed
        )
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    small = st.integers(1, 3)
    return convolution(draw(size), draw(small), draw(small), draw(small), stride, dilation)


@st.composite
def mappings(draw: st.DrawFn, wanted: Contraction, machine: Accelerator) -> Mapping:
    """Any nest: several loops per dimension with any steps and order, stores anywhere."""
    spatial: list[Spatial] = []
    taken: dict[str, int] = {}
    for axis, dims in (("row", machine.array.row_dims), ("column", machine.array.column_dims)):
        free = ["", *(name for name in dims if name in wanted.extents)]
        dim = draw(st.sampled_from(free))
        if dim:
            taken[dim] = draw(st.integers(1, min(4, wanted.extents[dim])))
            spatial.append(Spatial(dim, taken[dim], axis))
    chains: list[list[Node]] = []
    for dim, extent in wanted.dims:
        end, steps = taken.get(dim, 1), list[int]()
        while (steps[-1] if steps else extent) > end:
            most = steps[-1] if steps else extent
            last = draw(st.booleans()) or len(steps) == 2
            steps.append(end if last else draw(st.integers(end, most)))
        chains.append([Loop(dim, step) for step in steps])
    for operand in wanted.operands:
        levels = [level.name for level in machine.levels[1:] if operand.role in level.holds]
        used = draw(st.sets(st.sampled_from(levels)))
        again = st.sampled_from((False, False, False, True))
        chains.append([Store(operand.slot, name, draw(again)) for name in levels if name in used])
    nodes: list[Node] = []
    while any(chains):
        chain = draw(st.sampled_from([chain for chain in chains if chain]))
        nodes.append(chain.pop(0))
    return Mapping(operator="t", accelerator=machine.name, nodes=(*nodes, *spatial))


@st.composite
def problems(draw: st.DrawFn) -> tuple[Mapping, Contraction, Accelerator]:
    """A mapping with its contraction and machine."""
    machine = draw(st.sampled_from(MACHINES))
    wanted = draw(contractions())
    return draw(mappings(wanted, machine)), wanted, machine


def counted(mapping: Mapping, wanted: Contraction, machine: Accelerator) -> dict[object, object]:
    """What the model says, in the form of the interpreter."""
    nest = legality.checked(mapping, wanted, machine)
    found = traffic.crossings(nest, wanted, machine)
    moved = traffic.accesses(found, wanted, machine, 0)
    return {key: (a.read_bytes, a.written_bytes) for key, a in moved.items() if a.total_bytes}


@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(problems())
def test_traffic_equals_the_interpreter(problem: tuple[Mapping, Contraction, Accelerator]) -> None:
    check_traffic(*problem)


@pytest.mark.slow
@settings(max_examples=4000, suppress_health_check=list(HealthCheck))
@given(problems())
def test_traffic_of_more_nests(problem: tuple[Mapping, Contraction, Accelerator]) -> None:
    check_traffic(*problem)


def check_traffic(mapping: Mapping, wanted: Contraction, machine: Accelerator) -> None:
    """The model's transfers and bytes, against the loops run element by element."""
    oracle = Interpreter(mapping, wanted, machine)
    expected = {key: (read // 8, written // 8) for key, (read, written) in oracle.bits().items()}
    assert counted(mapping, wanted, machine) == expected
    nest = legality.checked(mapping, wanted, machine)
    assert legality.steps(nest, wanted) == oracle.steps
    transfers = [c.transfers for c in traffic.crossings(nest, wanted, machine)]
    by_operand = [
        [p.transfers for p in oracle.all_places() if p.operand is operand]
        for operand in wanted.operands
    ]
    assert transfers == [count for counts in by_operand for count in counts]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)), min_size=1, max_size=4),
)
def test_distinct_counts_the_values_of_an_index(terms: list[tuple[int, int]]) -> None:
    values = {0}
    for coefficient, extent in terms:
        values = {value + coefficient * x for value in values for x in range(extent)}
    assert distinct(tuple(terms)) == len(values)


def test_a_spilled_partial_sum_costs_four_bytes_out_and_four_back() -> None:
    """4x4x8 in two halves of k, k outermost: outputs leave as int32, come back, leave as int8."""
    machine = gemmini()
    wanted = matmul(4, 4, 8)
    nodes = (
        Loop("k", 4),
        Loop("m", 2),
        Store("a", "scratchpad"),
        Store("b", "scratchpad"),
        Store("out", "accumulator"),
        Loop("m", 1),
        Spatial("k", 4, "row"),
        Spatial("n", 4, "column"),
    )
    mapping = Mapping(operator="t", accelerator="gemmini", nodes=nodes)
    nest = legality.checked(mapping, wanted, machine)
    moved = traffic.accesses(traffic.crossings(nest, wanted, machine), wanted, machine, 0)
    out = moved["dram", "out"]
    assert (out.read_bytes, out.written_bytes) == (16 * 4, 16 * 4 + 16)
    accumulator = moved["accumulator", "out"]
    # The array adds 32 times, 16 of them into sums that are there; 32 leave, 16 come back.
    assert accumulator.written_bytes == (32 + 16) * 4
    assert accumulator.read_bytes == (16 + 32) * 4
    # b is not moved by m: it is fetched once per half of k.
    assert moved["dram", "b"].read_bytes == 32


def test_a_halo_is_fetched_with_each_tile_that_holds_it() -> None:
    """Eight outputs of a filter of 3 in tiles of 4: 6 inputs each, where 10 are distinct."""
    machine = MACHINES[0]
    wanted = convolution(8, 3, 1, 1, 1, 1)
    nodes = (Loop("p", 4), Store("x", "scratchpad"), Loop("p", 1), Loop("r", 1))
    mapping = Mapping(operator="t", accelerator="t", nodes=nodes)
    nest = legality.checked(mapping, wanted, machine)
    found = traffic.crossings(nest, wanted, machine)
    assert [c.elements for c in found if c.slot == "x"] == [12, 24]
    assert len(touched(wanted.operand("x"), {d: (0, e) for d, e in wanted.dims})) == 10


@pytest.mark.parametrize(("rows", "reads"), [(32, 2 * 16), (16, 2 * 16), (20, 3 * 16), (8, 4 * 16)])
def test_a_bias_is_read_once_per_block_row_of_each_tile(rows: int, reads: int) -> None:
    machine = gemmini()
    wanted = matmul(32, 16, 16, bias_bits=32)
    nodes = (
        Loop("m", rows),
        Store("a", "scratchpad"),
        Store("b", "scratchpad"),
        Store("out", "accumulator"),
        Loop("m", 1),
        Spatial("k", 16, "row"),
        Spatial("n", 16, "column"),
    )
    mapping = Mapping(operator="t", accelerator="gemmini", nodes=nodes)
    nest = legality.checked(mapping, wanted, machine)
    assert traffic.bias_reads(nest, wanted, machine) == reads
    heads = matmul(32, 16, 16, bias_bits=32, heads=3)
    nest = legality.checked(
        dataclasses.replace(mapping, nodes=(Loop("g", 1), *mapping.nodes)), heads, machine
    )
    assert traffic.bias_reads(nest, heads, machine) == 3 * reads
