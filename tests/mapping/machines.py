"""Random hierarchies, contractions of every kind, and random nests on them, for property tests."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import replace
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
from inferstack.mapping.contraction import Contraction, Operand
from inferstack.mapping.nest import Loop, Mapping, Node, Spatial, Store
from inferstack.mapping.shapes import attention_context, attention_scores, convolution, matmul
from inferstack.ops.rule import Affine

ROOMY = 1 << 40


def hierarchy(chance: random.Random, *, roomy: bool = True) -> Accelerator:
    """Two to five levels, some for a few operands only, with or without instances side by side."""
    count = chance.randint(1, 4)
    levels = [_level(chance, "dram", frozenset(Role), None)]
    for number in range(count):
        holds = frozenset(role for role in Role if chance.random() < 0.6)
        holds = holds or frozenset({chance.choice(list(Role))})
        size = ROOMY if roomy else chance.choice((24, 48, 96, 160, 320))
        levels.append(_level(chance, f"l{number}", holds, size))
    for role in Role:
        if not any(role in level.holds for level in levels[1:]):
            at = chance.randint(1, count)
            levels[at] = dataclasses.replace(levels[at], holds=levels[at].holds | {role})
    dims = ["m", "n", "k", "p", "q", "c", "r", "s", "g"]
    fan_outs: list[FanOut] = []
    for level in levels[:-1]:
        if chance.random() < 0.3 and len(fan_outs) < 2:
            axes = tuple(
                Axis(
                    name=f"{side}{level.name}",
                    size=chance.randint(2, 4),
                    dims=tuple(chance.sample(dims, 5)),
                )
                for side in "xy"[: chance.randint(1, 2)]
            )
            fan_outs.append(FanOut(below=level.name, axes=axes))
    return Accelerator(
        name="random",
        description="random",
        clock_hz=1e9,
        levels=tuple(levels),
        array=Array(
            rows=chance.randint(1, 4),
            columns=chance.randint(1, 4),
            dataflow=f"{chance.choice(('weight', 'output', 'input', 'row'))} stationary",
            row_dims=("k", "c", "r"),
            column_dims=("n", "m"),
            pass_cycles=chance.randint(1, 3),
            fill_cycles=chance.randint(0, 5),
            mac_pj=1.0,
        ),
        vector_unit=None,
        dma=cast(Dma, Missing("random", "dma")),
        host=cast(Host, Missing("random", "host")),
        fan_outs=tuple(fan_outs),
    )


def _level(chance: random.Random, name: str, holds: frozenset[Role], size: int | None) -> Level:
    return Level(
        name=name,
        capacity_bytes=size,
        holds=holds,
        read_bytes_per_cycle=chance.choice((1.0, 4.0, 16.0)),
        write_bytes_per_cycle=chance.choice((1.0, 4.0, 16.0)),
        shared_port=chance.random() < 0.5,
        double_buffered=chance.random() < 0.3 and size is not None,
        read_pj_per_byte=chance.choice((1.0, 2.0, 5.0)) * (20 if size is None else 1),
        write_pj_per_byte=chance.choice((1.0, 2.0, 5.0)) * (20 if size is None else 1),
        partial_sum_bits=chance.choice((16, 32)),
    )


def small_contraction(chance: random.Random, most: int = 7) -> Contraction:
    """A matmul, grouped-query attention, or a convolution with stride, dilation and groups."""

    def size(limit: int = most) -> int:
        return max(1, chance.randint(0, limit))

    bits = chance.choice((8, 16, 32))
    kind = chance.randrange(4)
    if kind == 0:
        return matmul(m=size(), n=size(), k=size(), output_bits=bits)
    if kind == 1:
        kv_heads, shared = chance.randint(1, 2), chance.randint(1, 3)
        maker = chance.choice((attention_scores, attention_context))
        return maker(
            heads=kv_heads * shared, kv_heads=kv_heads, m=size(4), n=size(4), k=size(4),
            batch=chance.randint(1, 2), output_bits=bits,
        )  # fmt: skip
    groups = chance.choice((1, 1, 2))
    return convolution(
        n=groups * size(3),
        c=groups * size(3),
        p=size(5),
        q=size(2),
        r=size(3),
        s=size(2),
        stride=chance.randint(1, 3),
        dilation=chance.randint(1, 3),
        groups=groups,
        output_bits=bits,
    )


def uneven(chance: random.Random) -> Contraction:
    """Experts of which the last ones have fewer rows than the others, or none."""
    experts, rows = chance.randint(2, 4), chance.randint(1, 3)
    pairs = chance.randint(1 + (rows - 1) * experts, rows * experts - 1)
    size = {"g": experts, "m": rows, "n": chance.randint(1, 3), "k": chance.randint(1, 3)}
    row = Affine((("g", rows), ("m", 1)), size=pairs)
    expert, column, inner = (Affine(((name, 1),)) for name in "gnk")
    bits = chance.choice((8, 16, 32))
    return Contraction(
        name="experts",
        dims=tuple(size.items()),
        reductions=frozenset("k"),
        operands=(
            Operand(slot="a", role=Role.INPUT, indices=(row, inner), bits=8),
            Operand(slot="b", role=Role.WEIGHT, indices=(expert, inner, column), bits=8),
            Operand(slot="out", role=Role.OUTPUT, indices=(row, column), bits=bits),
        ),
    )


def padded(chance: random.Random, wanted: Contraction) -> Contraction:
    """A convolution with up to all of its input's rows, and columns, in the padding but one."""
    operands = []
    for operand in wanted.operands:
        indices = []
        for index in operand.indices:
            if {name for name, _ in index.terms} & {"p", "q"} and operand.role is Role.INPUT:
                reach = 1 + sum(c * (wanted.extents[name] - 1) for name, c in index.terms)
                size = chance.randint(1, reach)
                index = Affine(index.terms, offset=-chance.randint(0, reach - size), size=size)
            indices.append(index)
        operands.append(replace(operand, indices=tuple(indices)))
    return replace(wanted, operands=tuple(operands))


def placed(chance: random.Random, wanted: Contraction, machine: Accelerator) -> Contraction:
    """The contraction with some operands left on the chip, outside of all instances."""
    bounds = [machine.index(f.below) for f in machine.fan_outs]
    shared = [v.name for v in machine.levels[1 : bounds[0] + 1 if bounds else None]]
    operands = tuple(
        replace(o, origin=chance.choice(shared)) if shared and chance.random() < 0.25 else o
        for o in wanted.operands
    )
    return replace(wanted, operands=operands)


def random_mapping(chance: random.Random, wanted: Contraction, machine: Accelerator) -> Mapping:
    """Any nest: any steps, any order, stores anywhere that instances allow, repeated loads too."""
    array, taken = _array_nodes(chance, wanted, machine)
    chunk = wanted.extents
    nodes: list[Node] = []
    bounds = [machine.index(f.below) for f in machine.fan_outs]
    stores = [
        [
            Store(o.slot, level.name, chance.random() < 0.15)
            for level in machine.levels[1:]
            if o.role in level.holds
            and machine.index(level.name) > o.home(machine)
            and chance.random() < 0.7
        ]
        for o in wanted.operands
    ]
    for number in range(len(bounds) + 1):
        limit = bounds[number] if number < len(bounds) else len(machine.levels)
        here = [[s for s in chain if machine.index(s.level) <= limit] for chain in stores]
        stores = [[s for s in chain if machine.index(s.level) > limit] for chain in stores]
        loops = chance.randint(0, 4)
        while any(here) or loops:
            chains = [chain for chain in here if chain]
            if chains and (not loops or chance.random() < 0.5):
                nodes.append(chance.choice(chains).pop(0))
                continue
            loops -= 1
            _loop(chance, chunk, taken, nodes)
        if number < len(bounds):
            _split(chance, machine.fan_outs[number], chunk, taken, nodes)
    left = [name for name in chunk if chunk[name] > taken.get(name, 1)]
    chance.shuffle(left)
    at = [chance.randint(_deepest(nodes, machine), len(nodes)) for _ in left]
    tail = nodes[min(at, default=len(nodes)) :]
    nodes = nodes[: len(nodes) - len(tail)]
    for name in left:
        tail.insert(chance.randint(0, len(tail)), Loop(name, taken.get(name, 1)))
    return Mapping(
        operator="t",
        accelerator=machine.name,
        nodes=(*nodes, *(n for n in tail if not _too_late(n, tail, chunk, taken)), *array),
    )


def _too_late(node: Node, tail: list[Node], chunk: dict[str, int], taken: dict[str, int]) -> bool:
    """A loop that an earlier one in the tail has already brought to its end."""
    if not isinstance(node, Loop):
        return False
    first = next(n for n in tail if isinstance(n, Loop) and n.dim == node.dim)
    return first is not node and first.step <= node.step == taken.get(node.dim, 1)


def _deepest(nodes: list[Node], machine: Accelerator) -> int:
    """Below the last loop or spatial node: there the last loops may go anywhere."""
    return max((i + 1 for i, n in enumerate(nodes) if not isinstance(n, Store)), default=0)


def _array_nodes(
    chance: random.Random, wanted: Contraction, machine: Accelerator
) -> tuple[list[Spatial], dict[str, int]]:
    nodes, taken = list[Spatial](), dict[str, int]()
    array = machine.array
    for axis, dims, limit in (
        ("row", array.row_dims, array.rows),
        ("column", array.column_dims, array.columns),
    ):
        free = [d for d in dims if d in wanted.extents and d not in taken]
        chance.shuffle(free)
        left = limit
        for dim in free[: chance.randint(0, 2)]:
            taken[dim] = chance.randint(1, min(left, wanted.extents[dim]))
            left //= taken[dim]
            nodes.append(Spatial(dim, taken[dim], axis))
    return nodes, taken


def _loop(
    chance: random.Random, chunk: dict[str, int], taken: dict[str, int], nodes: list[Node]
) -> None:
    free = [name for name in chunk if chunk[name] > taken.get(name, 1)]
    if free:
        dim = chance.choice(free)
        step = chance.randint(taken.get(dim, 1), chunk[dim])
        chunk[dim] = step
        nodes.append(Loop(dim, step))


def _split(
    chance: random.Random,
    fan_out: FanOut,
    chunk: dict[str, int],
    taken: dict[str, int],
    nodes: list[Node],
) -> None:
    for axis in fan_out.axes:
        left = axis.size
        for dim in axis.dims:
            if dim not in chunk or chance.random() < 0.4:
                continue
            least = max(taken.get(dim, 1), -(-chunk[dim] // left))
            step = chance.randint(least, max(least, chunk[dim]))
            if step > chunk[dim]:
                continue
            extent = -(-chunk[dim] // step)
            left //= extent
            chunk[dim] = step
            nodes.append(Spatial(dim, extent, axis.name, step))
