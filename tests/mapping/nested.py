"""A machine with instances inside of instances, and nests on it."""

from __future__ import annotations

from typing import cast

from inferstack.hardware.accelerator import (
    Accelerator,
    Array,
    Axis,
    Dma,
    FanOut,
    Host,
    Level,
    Missing,
    Role,
)
from inferstack.mapping import legality
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Loop, Mapping, Node, Spatial
from inferstack.mapping.shapes import matmul


def level(name: str, holds: str, size: int | None = None, sums: int = 32) -> Level:
    """A memory for the roles of these first letters."""
    return Level(
        name=name,
        capacity_bytes=size,
        holds=frozenset(role for role in Role if role.value[0] in holds),
        read_bytes_per_cycle=1,
        write_bytes_per_cycle=1,
        shared_port=False,
        double_buffered=False,
        read_pj_per_byte=1,
        write_pj_per_byte=1,
        partial_sum_bits=sums,
    )


MACHINE = Accelerator(
    name="nested",
    description="an array of 3 x 4 in 2 clusters of 3 x 2",
    clock_hz=1e9,
    levels=(
        level("dram", "iwo"),
        level("shared", "iwo"),
        level("cluster", "iw"),
        level("own", "iwo"),
    ),
    array=Array(
        rows=3,
        columns=4,
        dataflow="weight stationary",
        row_dims=("k",),
        column_dims=("n", "m"),
        pass_cycles=1,
        fill_cycles=0,
        mac_pj=1,
    ),
    vector_unit=None,
    dma=cast(Dma, Missing("nested", "dma")),
    host=cast(Host, Missing("nested", "host")),
    fan_outs=(
        FanOut(below="shared", axes=(Axis(name="x", size=2, dims=("m", "n")),)),
        FanOut(
            below="cluster",
            axes=(
                Axis(name="y", size=3, dims=("m",)),
                Axis(name="z", size=2, dims=("n", "k")),
            ),
        ),
    ),
)
SIZES = {"m": 8, "n": 6, "k": 5}
WANTED = matmul(m=8, n=6, k=5)


def completed(*nodes: Node) -> tuple[Node, ...]:
    """The nodes, and behind the last loop or fan-out whatever walks the rest element by element."""
    array = [n for n in nodes if isinstance(n, Spatial) and n.axis in ("row", "column")]
    outer = [n for n in nodes if n not in array]
    left = dict(SIZES)
    for node in outer:
        if isinstance(node, Loop | Spatial):
            left[node.dim] = node.step
    side = dict.fromkeys(SIZES, 1)
    for one in array:
        side[one.dim] *= one.extent
    rest = [Loop(dim, side[dim]) for dim in SIZES if left[dim] > side[dim]]
    return (*outer, *rest, *array)


def checked(
    *nodes: Node, wanted: Contraction = WANTED, machine: Accelerator = MACHINE
) -> legality.Nest:
    """The nest of these nodes."""
    made = Mapping(operator="t", accelerator=machine.name, nodes=nodes)
    return legality.checked(made, wanted, machine)
