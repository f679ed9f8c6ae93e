"""How many mappings the stated space has."""

from __future__ import annotations

import math

from inferstack.hardware.accelerator import Accelerator
from inferstack.mapping.contraction import Contraction
from inferstack.schedule.nests.chains import Stage, count_chains
from inferstack.schedule.nests.skeleton import all_skeletons


def space_size(contraction: Contraction, accelerator: Accelerator, perfect: bool) -> int:
    """Residencies, orders of the stores, and steps of every dimension in every segment.

    Any dimension may have a loop in any segment. Orders of the loops between two stores are not
    counted apart; of extents in the array, those of the dimension alone are limited.
    """
    array = accelerator.array
    known: dict[tuple[int, ...], int] = {}
    total = 0
    for skeleton in all_skeletons(contraction, accelerator):
        shape = tuple(event.at or 0 if event.operand < 0 else -1 for event in skeleton)
        if shape not in known:
            known[shape] = math.prod(
                count_chains(
                    extent,
                    _stages(dim, shape, accelerator),
                    max([1, *(s for s, dims in (
                        (array.rows, array.row_dims), (array.columns, array.column_dims)
                    ) if dim in dims)]),
                    perfect,
                )
                for dim, extent in contraction.dims
            )  # fmt: skip
        total += known[shape]
    return total


def _stages(dim: str, shape: tuple[int, ...], accelerator: Accelerator) -> tuple[Stage, ...]:
    stages = [Stage()]
    for fan in shape:
        if fan >= 0:
            axes = accelerator.fan_outs[fan].axes
            stages += [Stage(axis.size) for axis in axes if dim in axis.dims]
        stages.append(Stage())
    return tuple(stages)
