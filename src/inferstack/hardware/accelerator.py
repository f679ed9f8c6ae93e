"""`Accelerator`: memory levels outer to inner, the array, the units behind it, and the host.

Files are read and checked in `hardware.load`; these objects only store. Energies are in pJ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn

from inferstack.core.errors import AcceleratorError, UnknownNameError
from inferstack.core.provenance import Source


class Control(StrEnum):
    """What makes the machine move.

    PROGRAMS: instructions in queues, DMA requests, fences; a tile that is still there is not loaded
    again. SEQUENCER: fixed loops in hardware, every part perfectly ahead of the next.
    """

    PROGRAMS = "programs"
    SEQUENCER = "sequencer"


class Role(StrEnum):
    """What an operand is to a contraction: the two factors and the result."""

    INPUT = "input"
    WEIGHT = "weight"
    OUTPUT = "output"


DATAFLOWS = (*(f"{role.value} stationary" for role in Role), "row stationary")
"""What an array may keep: one operand, or (row stationary) none that the cost must know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One memory. capacity_bytes None: without bound (DRAM).

    double_buffered: half of the capacity computes while the other half is filled.
    read_bytes_per_cycle, write_bytes_per_cycle: of the ports; where shared_port is set, both
        directions share read_bytes_per_cycle. On a machine with a DMA engine they are the ports
        towards the level outside; on others whatever reads or writes the level goes through them.
    partial_sum_bits: width of a partial sum kept here (32 in an accumulator).
    A level inside a fan-out exists once per instance, and so do these figures.
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
class Axis:
    """One side of a fan-out: `size` instances, along which any of `dims` may run."""

    name: str
    size: int
    dims: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOut:
    """Instances side by side: what stands inside of the level `below` exists once in each.

    The network in between multicasts what does not vary along an axis, and adds up the partial sums
    of instances that share an output, at no cost in cycles or energy.
    """

    below: str
    axes: tuple[Axis, ...]


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
    energy_pj: by kind, per element. level: the memory that feeds it; None: the innermost that holds
        outputs.
    """

    lanes: int
    passes: Mapping[str, int]
    row_overhead_cycles: Mapping[str, int]
    energy_pj: Mapping[str, float]
    level: str | None = None


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


class Missing:
    """Stands for a part that a description leaves out: who needs it gets an error that says so."""

    def __init__(self, accelerator: str, part: str) -> None:
        self._accelerator, self._part = accelerator, part

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AcceleratorError(
            f"accelerator {self._accelerator}, {self._part}",
            "missing",
            hint=f"this needs a machine whose description has `{self._part}`, such as gemmini",
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Missing) and self._part == other._part

    def __hash__(self) -> int:
        return hash(self._part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """A machine: levels outer (DRAM) to inner. sources: of each number, by dotted path.

    dma, host: where a description has none (has_dma, has_host), whatever is asked of them raises
    AcceleratorError. fan_outs: outer to inner. forwards_to: levels that results can be sent to from
    behind the array though they do not hold outputs, to be the next operator's operands. control:
    decides how `cost.cost` counts; a machine that runs programs has a `dma`.
    """

    name: str
    description: str
    clock_hz: float
    levels: tuple[Level, ...]
    array: Array
    vector_unit: VectorUnit | None
    dma: Dma
    host: Host
    sources: Mapping[str, Source] = field(default_factory=dict)
    fan_outs: tuple[FanOut, ...] = ()
    forwards_to: tuple[str, ...] = ()
    control: Control = Control.SEQUENCER

    @property
    def instances(self) -> int:
        """Arrays side by side, over all fan-outs."""
        return math.prod(axis.size for fan_out in self.fan_outs for axis in fan_out.axes)

    @property
    def peak_macs_per_cycle(self) -> int:
        """Of all arrays together."""
        return self.array.macs_per_cycle * self.instances

    @property
    def has_dma(self) -> bool:
        """Whether the DMA engine is described."""
        engine: object = self.dma
        return not isinstance(engine, Missing)

    @property
    def has_host(self) -> bool:
        """Whether a host is described."""
        host: object = self.host
        return not isinstance(host, Missing)

    def index(self, name: str) -> int:
        """The place of a level, 0 for the outermost. Raises UnknownNameError."""
        return self.levels.index(self.level(name))

    def feeding(self, role: Role) -> Level:
        """The innermost level that holds `role`: the one that the array reads and writes."""
        return next(level for level in reversed(self.levels) if role in level.holds)

    @property
    def unit_level(self) -> Level:
        """The level that feeds the units behind the array."""
        unit = self.vector_unit
        named = None if unit is None else unit.level
        return self.feeding(Role.OUTPUT) if named is None else self.level(named)

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
