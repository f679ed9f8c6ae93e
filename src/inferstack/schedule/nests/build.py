"""The mapping that a choice of candidates stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.nest import Loop, Mapping, Node, Spatial, Store
from inferstack.schedule.nests.blocks import Planner
from inferstack.schedule.nests.skeleton import Skeleton

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]


def mapping_of(planner: Planner, skeleton: Skeleton, steps: dict[str, tuple[int, ...]]) -> Mapping:
    """The nest of a skeleton and the steps of each dimension, in canonical form.

    In every segment the loops that move the operand of the next store stand last.
    """
    contraction, accelerator = planner.contraction, planner.accelerator
    chunk = contraction.extents
    nodes = _segment(planner, skeleton, -1, steps, chunk)
    for number, event in enumerate(skeleton):
        if event.operand < 0:
            nodes += _instances(planner, skeleton, number, steps, chunk)
        elif event.at is not None:
            slot = contraction.operands[event.operand].slot
            nodes.append(Store(slot, accelerator.levels[event.at].name))
        nodes += _segment(planner, skeleton, number, steps, chunk)
    nodes += _sides(planner, steps, accelerator)
    return Mapping(operator=contraction.name, accelerator=accelerator.name, nodes=tuple(nodes))


def _segment(
    planner: Planner,
    skeleton: Skeleton,
    number: int,
    steps: dict[str, tuple[int, ...]],
    chunk: dict[str, int],
) -> list[Node]:
    """The loops below an event."""
    following = next((e.operand for e in skeleton[number + 1 :] if e.operand >= 0), None)
    moves = planner.movement.moves[following] if following is not None else frozenset()
    found = list[Loop]()
    for dim, own in steps.items():
        route = planner.route(dim, skeleton)
        for stage, (segment, axis) in enumerate(zip(route.segments, route.axes, strict=True)):
            if segment == number and axis is None and own[stage] < chunk[dim]:
                found.append(Loop(dim, own[stage]))
                chunk[dim] = own[stage]
    found.sort(key=lambda loop: loop.dim in moves)
    return list[Node](found)


def _instances(
    planner: Planner,
    skeleton: Skeleton,
    number: int,
    steps: dict[str, tuple[int, ...]],
    chunk: dict[str, int],
) -> list[Node]:
    """The spatial nodes of a fan-out."""
    event = skeleton[number]
    assert event.at is not None, "a fan-out has a number"
    nodes: list[Node] = []
    for place, axis in enumerate(planner.accelerator.fan_outs[event.at].axes):
        for dim, own in steps.items():
            route = planner.route(dim, skeleton)
            for stage, (segment, on) in enumerate(zip(route.segments, route.axes, strict=True)):
                if segment == number and on == (event.at, place) and own[stage] < chunk[dim]:
                    extent = -(-chunk[dim] // own[stage])
                    nodes.append(Spatial(dim, extent, axis.name, own[stage]))
                    chunk[dim] = own[stage]
    return nodes


def _sides(
    planner: Planner, steps: dict[str, tuple[int, ...]], accelerator: Accelerator
) -> list[Node]:
    array = accelerator.array
    return [
        Spatial(dim, steps[dim][-1], axis)
        for axis, dims in (("row", array.row_dims), ("column", array.column_dims))
        for dim in dims
        if dim in steps and steps[dim][-1] > 1
    ]
