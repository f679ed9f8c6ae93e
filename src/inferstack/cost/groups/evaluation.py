"""One pass of a group over equal tiles: what is loaded, made, kept and handed out by kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from inferstack.core.infeasible import Infeasible
from inferstack.cost.groups.layout import PARTIAL_BYTES, Layout
from inferstack.cost.groups.setting import KernelPlan, Setting, Sums, busiest
from inferstack.cost.scheduled import Scheduled
from inferstack.cost.units import on_host, unit_work
from inferstack.hardware.accelerator import Level, Role
from inferstack.mapping.kernels import Kernel, Port
from inferstack.mapping.legality import resident_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Equal tiles: their layout, how many of rows there are, and whether they are the first."""

    layout: Layout
    rows: int
    first: bool


class Evaluation:
    """Adds up one pass in which results stay in `level`, and so do the tensors `pinned`."""

    def __init__(
        self, setting: Setting, one: Pass, level: Level, pinned: frozenset[str], sums: Sums
    ) -> None:
        self.setting, self.one, self.level = setting, one, level
        self.pinned, self.sums = pinned, sums
        self.layout, self.walk, self.kernels = one.layout, one.layout.walk, one.layout.kernels
        self.kept = {
            kernel.writes.tensor
            for kernel, stays in zip(self.kernels, self.layout.stays, strict=True)
            if stays
        }

    def run(self) -> list[KernelPlan] | None:
        """What each kernel does; None where something does not fit."""
        layout, plans = self.layout, list[KernelPlan]()
        limit = self.level.usable_bytes
        if limit is not None and layout.most_bytes(self.pinned) > limit:
            return None
        self._pin()
        pinned = sum(layout.sizes[tensor] for tensor in self.pinned)
        for (start, end), live in zip(layout.chains, layout.live_bytes, strict=True):
            made = self._chain(start, end, live + pinned)
            if made is None:
                return None
            plans += made
        return plans

    def _times(self, kernel: Kernel, port: Port | None = None) -> int:
        """How often a kernel, or what it reads through a port, comes round in this pass."""
        walk = self.walk
        moves = walk.kernel_moves(kernel) if port is None else walk.port_moves(kernel, port)
        batched = walk.batched(kernel, port or kernel.writes)
        turns = walk.turns(kernel) if port is None else 1
        return walk.times(moves, self.one.rows, self.one.first, batched) * turns

    def _pin(self) -> None:
        """Loads the pinned tensors."""
        for tensor in self.pinned:
            ports = [(k, p) for k in self.kernels for p in k.reads if p.tensor == tensor]
            # The largest part that a kernel needs serves the others too.
            size, rounds = max((self.walk.tile_bytes(k, p), self._times(k, p)) for k, p in ports)
            self.sums.move(self.sums.dram, read=size * rounds)
            self.sums.move(self.level, written=size * rounds)

    def _on_chip(self, tensor: str) -> bool:
        """Whether a kernel finds an operand in the level."""
        return tensor in self.pinned or tensor in self.kept

    def _chain(self, start: int, end: int, live: int) -> list[KernelPlan] | None:
        """A kernel, and what is computed on its way out."""
        head, last = self.kernels[start], self.kernels[end - 1]
        runs = self._times(head)
        stays, leaves = self.layout.stays[end - 1], self.layout.leaves[end - 1]
        columns = self.walk.columns
        partial = columns is not None and head.name == columns.context
        tiles = runs // self.walk.turns(head) if partial else runs
        size = self.walk.size_bytes(last, last.writes) * tiles
        scheduled, cycles, unit, units = None, 0, "units", 0
        if head.contraction is not None:
            scheduled = self._schedule(start, last, stays or partial, live, partial)
            if scheduled is None:
                return None
            self.sums.run(scheduled.cost, runs)
            cycles, unit = busiest(scheduled.cost, self.sums.dram)
        elif stays:
            self.sums.move(self.level, written=size)
        elif leaves:
            self.sums.move(self.sums.dram, written=size)
        if partial:
            units += self._rescale(runs)
            self.sums.move(self.level if stays else self.sums.dram, written=size)
        if stays and leaves:
            self.sums.move(self.level, read=size)
            self.sums.move(self.sums.dram, written=size)
        for number in range(start, end):
            if self.kernels[number].contraction is None:
                taken = self._unit(number, runs, first=number == start)
                if taken is None:
                    return None
                units += taken
        if units > cycles:
            unit = "host" if on_host(last, self.setting.accelerator) else "units"
        self.sums.work(unit, max(cycles, units) * runs)
        return [
            KernelPlan(
                kernel=self.kernels[number].name,
                chunk=self.walk.chunks[self.kernels[number].name],
                runs=runs,
                inline=number > start,
                scheduled=scheduled if number == start else None,
            )
            for number in range(start, end)
        ]

    def _rescale(self, runs: int) -> int:
        """Adds what a partial context costs beside its products; the units' cycles a run.

        After each chunk of columns it is read and rescaled to the new maximum; after the last one,
        divided.
        """
        unit, size = self.setting.accelerator.vector_unit, self.layout.partial_bytes
        assert unit is not None, "a fused softmax has a unit"
        elements = size // PARTIAL_BYTES
        self.sums.energy_pj += runs * elements * unit.energy_pj["softmax"]
        self.sums.move(self.level, read=size * runs)
        return -(-elements // unit.lanes)

    def _schedule(
        self, number: int, last: Kernel, stays: bool, live: int, partial: bool
    ) -> Scheduled | None:
        """The best schedule of a contraction's chunk, with its operands where they are.

        partial: the result is a partial sum that stays.
        """
        kernel = self.kernels[number]
        wanted, chunk = kernel.contraction, self.walk.chunks[kernel.name]
        assert wanted is not None, "only contractions have a schedule"
        tensors = {port.slot: port.tensor for port in kernel.reads}
        operands = []
        for operand in wanted.operands:
            if operand.role is Role.OUTPUT:
                here = stays
                bits = 8 * PARTIAL_BYTES if partial else last.writes.bits
            else:
                here, bits = self._on_chip(tensors[operand.slot]), operand.bits
            origin = self.level.name if here else None
            operands.append(replace(operand, bits=bits, origin=origin))
        part = replace(wanted, operands=tuple(operands)).inner_tile(chunk)
        # The contraction's own operands on the chip take their room by themselves.
        own = sum(resident_bytes(one, part) for one in part.operands if one.origin is not None)
        machine = self.setting.shrunk(self.level, max(live - own, 0))
        found = self.setting.inner(part, machine)
        return None if isinstance(found, Infeasible) else found

    def _unit(self, number: int, runs: int, *, first: bool) -> int | None:
        """Adds what a unit's kernel reads; its cycles a run, or None where a row does not fit.

        Operands pass through the level that feeds the units, as partial sums; every further pass
        reads the row again. In a chain the first operand is there already.
        """
        kernel, level = self.kernels[number], self.setting.unit_level
        chunk = self.walk.chunks[kernel.name]
        if kernel.whole_rows and not _row_fits(kernel, chunk, level):
            return None
        work = unit_work(kernel, chunk, self.setting.accelerator)
        self.sums.energy_pj += work.energy_pj * runs
        sums = math.prod(chunk.values()) * level.partial_sum_bits // 8 * runs
        through = level is not self.sums.dram and kernel.space.flops_per_point > 0
        for port in kernel.reads:
            if not first and port.tensor == self.kernels[number - 1].writes.tensor:
                continue
            source = self.level if self._on_chip(port.tensor) else self.sums.dram
            self.sums.move(source, read=self.walk.size_bytes(kernel, port) * runs)
            if through:
                self.sums.move(level, written=sums)
        if through:
            self.sums.move(level, read=sums * (len(kernel.reads) - 1 + work.passes))
        return work.cycles


def _row_fits(kernel: Kernel, chunk: Mapping[str, int], level: Level) -> bool:
    if level.usable_bytes is None:
        return True
    columns = chunk[kernel.writes.access.indices[-1].terms[-1][0]]
    return columns * level.partial_sum_bits // 8 <= level.usable_bytes
