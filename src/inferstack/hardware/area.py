"""Area from the published breakdown of Gemmini, and the SRAM energy rule of the library.

Source: Gemmini (DAC 2021), Fig. 6: array of 16x16 116 K um2, scratchpad of 256 kB 544 K,
accumulator of 64 kB 146 K, Rocket core 171 K, in all 1,029 K um2 with the rest. Known error: per-kB
figures of two sizes are stretched to every size, so banking and periphery are not modelled; the
normalisation units (+14 % in the survey's ASAP7 run) are given apart.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from inferstack.core.errors import AcceleratorError
from inferstack.core.provenance import Claim, Source
from inferstack.core.units import KIB
from inferstack.hardware.accelerator import Accelerator, Level

ARRAY_UM2_PER_PE = 116_000 / 256
SCRATCHPAD_UM2_PER_KIB = 544_000 / 256
ACCUMULATOR_UM2_PER_KIB = 146_000 / 64
HOST_UM2 = 171_000.0
TOTAL_UM2 = 1_029_000.0
OTHER_UM2 = TOTAL_UM2 - 116_000 - 544_000 - 146_000 - HOST_UM2
VECTOR_UNIT_SHARE = 0.14
"""Of the machine without it. Source: survey section 3.4."""

SRAM_REFERENCE_BYTES = 8 * KIB
SRAM_REFERENCE_PJ_PER_BYTE = 1.25


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """Square micrometres by part, in the process of the DAC 2021 chip."""

    parts_um2: Mapping[str, float]

    @property
    def total_um2(self) -> float:
        """All parts."""
        return sum(self.parts_um2.values())

    @property
    def sram_um2(self) -> float:
        """The memories alone."""
        apart = ("array", "host", "other", "vector unit")
        return sum(um2 for part, um2 in self.parts_um2.items() if part not in apart)


def area(accelerator: Accelerator) -> Area:
    """The area of a Gemmini-like machine. A level that keeps only results is an accumulator."""
    array = accelerator.array
    parts = {"array": array.rows * array.columns * ARRAY_UM2_PER_PE}
    for level in accelerator.levels:
        if level.capacity_bytes is not None:
            parts[level.name] = level.capacity_bytes / KIB * _um2_per_kib(level)
    parts |= {"host": HOST_UM2, "other": OTHER_UM2}
    if accelerator.vector_unit is not None:
        parts["vector unit"] = VECTOR_UNIT_SHARE * sum(parts.values())
    return Area(parts_um2=parts)


def _um2_per_kib(level: Level) -> float:
    accumulates = {role.value for role in level.holds} == {"output"}
    return ACCUMULATOR_UM2_PER_KIB if accumulates else SCRATCHPAD_UM2_PER_KIB


def sram_pj_per_byte(capacity_bytes: int) -> float:
    """Energy of one byte read from an SRAM: 1.25 pJ at 8 KiB, times sqrt(capacity / 8 KiB).

    Source: Horowitz, ISSCC 2014, 45 nm: 5 pJ per 32 bit at 8 KB; the root is assumed and gives 10,
    20 and 113 pJ per 64 bit for 8 KiB, 32 KiB and 1 MiB, where that paper has 10, 20 and 100.
    """
    return SRAM_REFERENCE_PJ_PER_BYTE * math.sqrt(capacity_bytes / SRAM_REFERENCE_BYTES)


def with_capacities(
    accelerator: Accelerator, capacities_bytes: Mapping[str, int], *, name: str
) -> Accelerator:
    """The machine with other capacities and the energies per byte that go with them.

    Raises UnknownNameError for a level that does not exist, AcceleratorError for a capacity of
    zero or less and for DRAM.
    """
    sources = dict(accelerator.sources)
    for level_name, capacity_bytes in capacities_bytes.items():
        where = f"accelerator {accelerator.name}, levels.{level_name}.capacity_bytes"
        if accelerator.level(level_name).capacity_bytes is None:
            raise AcceleratorError(where, "DRAM has no capacity to replace")
        if capacity_bytes <= 0:
            raise AcceleratorError(where, "out of range", got=capacity_bytes, need="more than 0")
        prefix = f"levels.{level_name}."
        replaced = Source(claim=Claim.ASSUMED, text=f"replaced in {accelerator.name}")
        scaled = Source(
            claim=Claim.ASSUMED, text="Horowitz, ISSCC 2014: 1.25 pJ per byte * sqrt(C / 8 KiB)"
        )
        sources[prefix + "capacity_bytes"] = replaced
        sources[prefix + "read_pj_per_byte"] = scaled
        sources[prefix + "write_pj_per_byte"] = scaled
    levels = tuple(
        _resized(level, capacities_bytes[level.name]) if level.name in capacities_bytes else level
        for level in accelerator.levels
    )
    return dataclasses.replace(accelerator, name=name, levels=levels, sources=sources)


def _resized(level: Level, capacity_bytes: int) -> Level:
    energy = sram_pj_per_byte(capacity_bytes)
    return dataclasses.replace(
        level,
        capacity_bytes=capacity_bytes,
        read_pj_per_byte=energy,
        write_pj_per_byte=energy,
    )
