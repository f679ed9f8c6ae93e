"""The machines of the stack: the given one, with integer units, with its memories swapped."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Set

from inferstack.hardware.accelerator import Accelerator, Level, Role
from inferstack.hardware.area import with_capacities
from inferstack.hardware.load import load_accelerator
from inferstack.hardware.names import library_names

LENDERS = ("gemmini-ibert-256-64", "gemmini-decoder-256-64")
"""Machines of the library whose units are lent: the first that has all that any of them has for a
model."""
SAME_ENERGY = 1e-3
"""Energies per byte in the library are rounded to four digits."""


def with_units(accelerator: Accelerator, kinds: Set[str] = frozenset()) -> Accelerator:
    """The machine with integer units behind the accumulator; itself where it has some.

    kinds: of operators that they are to compute.
    """
    if accelerator.vector_unit is not None:
        return accelerator
    lenders = [load_accelerator(name) for name in LENDERS]
    lender = max(lenders, key=lambda one: sum(one.supports(kind) for kind in kinds))
    sources = {path: s for path, s in lender.sources.items() if path.startswith("vector_unit.")}
    made = dataclasses.replace(
        accelerator,
        name=f"{accelerator.name}+units",
        vector_unit=lender.vector_unit,
        sources={**accelerator.sources, **sources},
    )
    return _of_library(made)


def operand_and_result_level(accelerator: Accelerator) -> tuple[Level, Level]:
    """The on-chip levels of a machine of `simulate`: scratchpad and accumulator."""
    inner = accelerator.levels[1:]
    scratchpad = next(level for level in inner if Role.INPUT in level.holds)
    return scratchpad, next(level for level in inner if Role.OUTPUT in level.holds)


def with_swapped_memories(accelerator: Accelerator) -> Accelerator | None:
    """The same SRAM with more of it for results; None where results have the larger share.

    Source: survey section 3.4, 256 KiB of scratchpad and 64 KiB of accumulator become 64 and 256.
    """
    scratchpad, accumulator = operand_and_result_level(accelerator)
    assert scratchpad.capacity_bytes is not None, "memories on the chip are bounded"
    assert accumulator.capacity_bytes is not None, "memories on the chip are bounded"
    if scratchpad.capacity_bytes <= accumulator.capacity_bytes:
        return None
    capacities = {
        scratchpad.name: accumulator.capacity_bytes,
        accumulator.name: scratchpad.capacity_bytes,
    }
    return _of_library(with_capacities(accelerator, capacities, name=f"{accelerator.name}+swapped"))


def _of_library(made: Accelerator) -> Accelerator:
    """The machine of the library with the same numbers, if any: it has a name to go on with."""
    machines = (load_accelerator(name) for name in library_names())
    return next((machine for machine in machines if _same_numbers(machine, made)), made)


def _same_numbers(one: Accelerator, other: Accelerator) -> bool:
    """Whether only names, sources and the last digits of energies differ."""
    plain = [
        dataclasses.replace(
            machine,
            name="",
            description="",
            sources={},
            levels=tuple(
                dataclasses.replace(level, read_pj_per_byte=0.0, write_pj_per_byte=0.0)
                for level in machine.levels
            ),
        )
        for machine in (one, other)
    ]
    return plain[0] == plain[1] and all(
        math.isclose(a.read_pj_per_byte, b.read_pj_per_byte, rel_tol=SAME_ENERGY)
        and math.isclose(a.write_pj_per_byte, b.write_pj_per_byte, rel_tol=SAME_ENERGY)
        for a, b in zip(one.levels, other.levels, strict=True)
    )
