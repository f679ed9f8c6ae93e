"""`Accelerator`: memory levels outer to inner, the array, the units behind it, and the host.

Files are read and checked in `hardware.load`; these objects only store. Energies are in pJ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from inferstack.core.errors import UnknownNameError
from inferstack.core.provenance import Source


class Role(StrEnum):
    """What an operand is to a contraction: the two factors and the result."""

    INPUT = "input"
    WEIGHT = "weight"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One memory. capacity_bytes None: without bound (DRAM).

    double_buffered: half of the capacity computes while the other half is filled.
    read_bytes_per_cycle, write_bytes_per_cycle: of the port towards the level outside; where
        shared_port is set, both directions share read_bytes_per_cycle.
    output_bits: width of a partial sum kept here (32 in an accumulator).
    """

    name: str
    capacity_bytes: int | None
    holds: frozenset[Role]
    read_bytes_per_cycle: float
    write_bytes_per_cycle: float
    shared_port: bool
    double_buffered: bool
    read_pj_per_byte: float
    write_pj_per_byte: float
    partial_sum_bits: int = 32

    @property
    def usable_bytes(self) -> int | None:
        """The bytes that one tile generation may take."""
        if self.capacity_bytes is None:
            return None
        return self.capacity_bytes // 2 if self.double_buffered else self.capacity_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """The multiply-accumulate array.

    row_dims, column_dims: the contraction dimensions that may run along each axis ("k" and "n" for
        weight stationary: K on rows, N on columns).
    pass_cycles: the least cycles of one pass of a stationary tile (the next tile's preload takes
        as long). fill_cycles: from the first input row to the first result.
    """

    rows: int
    columns: int
    dataflow: str
    row_dims: tuple[str, ...]
    column_dims: tuple[str, ...]
    pass_cycles: int
    fill_cycles: int
    mac_pj: float

    @property
    def macs_per_cycle(self) -> int:
        """The peak."""
        return self.rows * self.columns


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorUnit:
    """A unit between the accumulator and the store port: what it computes on the way out.

    passes: by operator kind, how many times the accumulator is read (softmax 3, layernorm 3, gelu
        1, add 1). A kind that is absent is not supported and falls back to the host.
    lanes: elements per cycle and pass. row_overhead_cycles: by kind, cycles per row for the
        reductions' latency, division and square root.
    energy_pj: by kind, per element.
    """

    lanes: int
    passes: Mapping[str, int]
    row_overhead_cycles: Mapping[str, int]
    energy_pj: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dma:
    """The engine between DRAM and the on-chip memories, and the queues in front of the units."""

    bus_bytes: int
    request_bytes: int
    requests_in_flight: int
    read_latency_cycles: int
    write_latency_cycles: int
    load_queue: int
    execute_queue: int
    store_queue: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The core that does what no unit supports, at its own cycles per element.

    cycles_per_element: by operator kind. default_cycles_per_element: for kinds not listed.
    """

    cycles_per_element: Mapping[str, float]
    default_cycles_per_element: float
    pj_per_cycle: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """A machine: levels outer (DRAM) to inner. sources: of each number, by dotted path."""

    name: str
    description: str
    clock_hz: float
    levels: tuple[Level, ...]
    array: Array
    vector_unit: VectorUnit | None
    dma: Dma
    host: Host
    sources: Mapping[str, Source] = field(default_factory=dict)

    def level(self, name: str) -> Level:
        """The level of that name. Raises UnknownNameError."""
        for level in self.levels:
            if level.name == name:
                return level
        raise UnknownNameError(
            f"accelerator {self.name}", "level", name, [level.name for level in self.levels]
        )

    def supports(self, kind: str) -> bool:
        """Whether the units behind the array compute integer operators of `kind`."""
        return self.vector_unit is not None and kind in self.vector_unit.passes
