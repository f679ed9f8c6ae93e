"""`Cost`: what a mapping costs, whoever counted it; and the objectives that searches minimize."""

from __future__ import annotations

import math
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from enum import StrEnum

from inferstack.core.errors import UnknownNameError
from inferstack.cost.access import Access, Crossing
from inferstack.hardware.accelerator import Accelerator, Level
from inferstack.mapping import legality
from inferstack.mapping.contraction import Contraction


class Objective(StrEnum):
    """What a search minimizes: cycles, pJ, their product, or bytes of the outermost memory."""

    LATENCY = "latency"
    ENERGY = "energy"
    EDP = "edp"
    DRAM_BYTES = "dram_bytes"


OBJECTIVES: tuple[str, ...] = tuple(objective.value for objective in Objective)


def check_objective(where: str, name: str) -> None:
    """Raises UnknownNameError for a name that is no objective."""
    if name not in OBJECTIVES:
        raise UnknownNameError(where, "objective", name, OBJECTIVES)


def objective_value(objective: str, cycles: float, energy_pj: float, dram_bytes: float) -> float:
    """The figure that is minimized. objective: one of `OBJECTIVES`."""
    match Objective(objective):
        case Objective.LATENCY:
            return float(cycles)
        case Objective.ENERGY:
            return energy_pj
        case Objective.EDP:
            return cycles * energy_pj
        case Objective.DRAM_BYTES:
            return float(dram_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a mapping costs. Energies in pJ; bytes are exact.

    accesses: by (level, slot); slot "bias" is the row that outputs start from, "residual" what is
    added on the way out, "row factors" what rows of probabilities are divided by. occupancy_bytes:
    of one tile generation, by level, with what is on the chip from the start. busy_cycles: by part
    of the machine. fill_cycles: of the array, on top of what is busy longest where a sequencer
    walks. crossings: tiles and elements between neighbouring places, by operand.
    """

    cycles: int
    energy_pj: float
    macs: int
    accesses: Dictionary[tuple[str, str], Access]
    crossings: tuple[Crossing, ...]
    occupancy_bytes: Dictionary[str, int]
    busy_cycles: Dictionary[str, int]
    compulsory_dram_bytes: int
    dram: str
    fill_cycles: int = 0

    @property
    def dram_read_bytes(self) -> int:
        """Bytes read from the outermost level."""
        return sum(a.read_bytes for (level, _), a in self.accesses.items() if level == self.dram)

    @property
    def dram_written_bytes(self) -> int:
        """Bytes written to the outermost level."""
        return sum(a.written_bytes for (level, _), a in self.accesses.items() if level == self.dram)

    @property
    def dram_bytes(self) -> int:
        """Bytes read from and written to the outermost level."""
        return self.dram_read_bytes + self.dram_written_bytes

    @property
    def edp(self) -> float:
        """pJ times cycles."""
        return self.energy_pj * self.cycles

    @property
    def bound_by(self) -> str:
        """The unit that is busy longest."""
        return max(self.busy_cycles, key=lambda unit: self.busy_cycles[unit])

    def value(self, objective: str) -> float:
        """The figure that a search minimizes."""
        return objective_value(objective, self.cycles, self.energy_pj, self.dram_bytes)


def port_cycles(level: Level, read_bytes: int, written_bytes: int) -> dict[str, int]:
    """Cycles by port of a level: one for both directions, or one for each."""
    if level.shared_port:
        cycles = math.ceil((read_bytes + written_bytes) / level.read_bytes_per_cycle)
        return {level.name: cycles}
    return {
        f"{level.name} reads": math.ceil(read_bytes / level.read_bytes_per_cycle),
        f"{level.name} writes": math.ceil(written_bytes / level.write_bytes_per_cycle),
    }


def occupied_bytes(
    nest: legality.Nest, contraction: Contraction, accelerator: Accelerator
) -> dict[str, int]:
    """By level, what one tile generation takes, with operands that are there from the start."""
    occupied: dict[str, int] = {}
    for (level, _), size in legality.occupancy(nest, contraction, accelerator).items():
        occupied[level] = occupied.get(level, 0) + size
    return occupied


def moved_energy_pj(
    moved: Dictionary[tuple[str, str], Access], contraction: Contraction, accelerator: Accelerator
) -> float:
    """Of the MACs and of every byte that a level reads or writes."""
    energy = contraction.macs * accelerator.array.mac_pj
    for (name, _), access in moved.items():
        level = accelerator.level(name)
        energy += access.read_bytes * level.read_pj_per_byte
        energy += access.written_bytes * level.write_pj_per_byte
    return energy
