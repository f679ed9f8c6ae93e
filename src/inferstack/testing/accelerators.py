"""Conformance kit of an accelerator: what every description must keep. Run on the whole library.

A new machine is one YAML file; `check_accelerator(load_accelerator(path))` says whether the rest of
the house can rely on it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from inferstack.core.errors import CheckFailedError
from inferstack.hardware.accelerator import Accelerator, Role


def check_accelerator(accelerator: Accelerator) -> None:
    """Raises CheckFailedError, with every rule that is broken, or returns."""
    broken = [*_memories(accelerator), *_units(accelerator), *_sources(accelerator)]
    if broken:
        raise CheckFailedError(f"accelerator {accelerator.name}", "; ".join(broken))


def _memories(accelerator: Accelerator) -> Iterator[str]:
    outer, *inner = accelerator.levels
    names = [level.name for level in accelerator.levels]
    if len(set(names)) != len(names):
        yield "two levels share a name"
    if outer.capacity_bytes is not None or outer.holds != frozenset(Role):
        yield f"the outermost level {outer.name} must be unbounded and hold every operand"
    for role in Role:
        if not any(role in level.holds for level in inner):
            yield f"no level on the chip holds the {role}"
    for level in inner:
        if not level.usable_bytes:
            yield f"level {level.name} has no usable byte"
        elif level.usable_bytes < accelerator.array.columns:
            yield f"level {level.name} cannot hold one row of the array"
        if level.read_pj_per_byte > outer.read_pj_per_byte:
            yield f"a byte of {level.name} costs more energy than one of {outer.name}"
    for level in accelerator.levels:
        if min(level.read_bytes_per_cycle, level.write_bytes_per_cycle) <= 0:
            yield f"level {level.name} has a port without bandwidth"
        if level.partial_sum_bits not in (8, 16, 24, 32, 64):
            yield f"level {level.name} keeps partial sums of {level.partial_sum_bits} bits"


def _units(accelerator: Accelerator) -> Iterator[str]:
    array, unit = accelerator.array, accelerator.vector_unit
    if array.macs_per_cycle <= 0 or array.pass_cycles <= 0:
        yield "the array does nothing"
    if set(array.row_dims) & set(array.column_dims):
        yield "a dimension may run along both axes of the array"
    if accelerator.has_dma and accelerator.dma.request_bytes % accelerator.dma.bus_bytes:
        yield "a DMA request is no whole number of beats of the bus"
    if not accelerator.clock_hz > 0:
        yield "the clock stands still"
    if unit is not None:
        kinds = set(unit.passes)
        if kinds != set(unit.row_overhead_cycles) or kinds != set(unit.energy_pj):
            yield "the vector unit's tables list different kinds"
        if unit.lanes <= 0 or min(unit.passes.values(), default=1) <= 0:
            yield "the vector unit does nothing"
    rates = accelerator.host.cycles_per_element if accelerator.has_host else {}
    for kind, cycles in rates.items():
        if not (math.isfinite(cycles) and cycles >= 0):
            yield f"the host's {kind} takes {cycles} cycles"
    names = [axis.name for fan_out in accelerator.fan_outs for axis in fan_out.axes]
    if len({*names, "row", "column"}) < len(names) + 2:
        yield "two axes share a name"
    for fan_out in accelerator.fan_outs:
        if fan_out.below not in [level.name for level in accelerator.levels]:
            yield f"a fan-out stands below {fan_out.below}, which does not exist"
        for axis in fan_out.axes:
            if axis.size <= 0 or not axis.dims:
                yield f"the axis {axis.name} has no instance, or no dimension may run along it"


def _sources(accelerator: Accelerator) -> Iterator[str]:
    """Every number that the description holds has a source, and every source a number."""
    numbers = set(_number_paths(accelerator))
    for path in sorted(numbers - set(accelerator.sources)):
        yield f"{path} has no source"
    for path in sorted(set(accelerator.sources) - numbers):
        yield f"the source of {path} belongs to no number"
    for path, source in accelerator.sources.items():
        if not source.text.strip():
            yield f"the source of {path} says nothing"


def _number_paths(accelerator: Accelerator) -> Iterator[str]:
    yield "clock_hz"
    for level in accelerator.levels:
        yield from _fields(f"levels.{level.name}", level)
    yield from _fields("array", accelerator.array)
    if accelerator.has_dma:
        yield from _fields("dma", accelerator.dma)
    if accelerator.has_host:
        yield from _fields("host", accelerator.host)
        for kind in accelerator.host.cycles_per_element:
            yield f"host.cycles_per_element.{kind}"
    for fan_out in accelerator.fan_outs:
        for axis in fan_out.axes:
            yield f"fan_outs.{fan_out.below}.{axis.name}.size"
    if accelerator.vector_unit is not None:
        yield "vector_unit.lanes"
        for kind in accelerator.vector_unit.passes:
            for name in ("passes", "row_overhead_cycles", "energy_pj"):
                yield f"vector_unit.kinds.{kind}.{name}"


def _fields(prefix: str, part: object) -> Iterator[str]:
    for field in dataclasses.fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}.{field.name}"
