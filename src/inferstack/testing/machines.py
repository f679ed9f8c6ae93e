"""Machines of the library with other memories, for tests and benchmarks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from inferstack.hardware.accelerator import Accelerator


def resized(accelerator: Accelerator, capacity_bytes: Mapping[str, int]) -> Accelerator:
    """The machine with other capacities, by level; energies per byte stay as they are.

    Its name stays, its sources go: they do not belong to the new numbers.
    """
    levels = tuple(
        dataclasses.replace(
            level, capacity_bytes=capacity_bytes.get(level.name, level.capacity_bytes)
        )
        for level in accelerator.levels
    )
    return dataclasses.replace(accelerator, levels=levels, sources={})
