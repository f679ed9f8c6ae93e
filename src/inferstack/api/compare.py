"""`compare`: two schedules, or two plans, side by side."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from inferstack.api.plan import Plan
from inferstack.api.schedule import Schedule
from inferstack.api.shown import Record, Shown
from inferstack.core.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType


class Comparison(Shown):
    """Cycles, energy and bytes of both, and the lines in which their nests differ."""

    __slots__ = ("_rows", "names", "nests")

    def __init__(self, names: tuple[str, str], rows: list[Record], nests: tuple[str, ...]) -> None:
        self.names, self._rows, self.nests = names, rows, nests

    def table(self) -> RenderableType:
        """A row per figure; below it what differs in the nests."""
        from inferstack.report.compare import to_table

        return to_table(self.names, self._rows, self.nests)

    def to_dict(self) -> Record:
        """Both sides of each figure, and the lines that differ."""
        return {"names": list(self.names), "figures": self.records(), "nests": list(self.nests)}

    def records(self) -> list[Record]:
        """A row per figure: first, second, and how many times as much the second is."""
        return [dict(row) for row in self._rows]


def compare(
    first: Schedule | Plan, second: Schedule | Plan, *, names: tuple[str, str] | None = None
) -> Comparison:
    """Two schedules of one layer, or two plans of one model, side by side.

    names: of the two; else those of the machines. Raises InputError for two different things.
    """
    if isinstance(first, Schedule) and isinstance(second, Schedule):
        if first.contraction.dims != second.contraction.dims:
            got = f"{first.name} and {second.name}"
            raise InputError("compare", "two different layers", got=got, need="schedules of one")
        rows = _schedule_rows(first, second)
        nests = _difference(first.nest, second.nest)
        machines = (first.accelerator.name, second.accelerator.name)
    elif isinstance(first, Plan) and isinstance(second, Plan):
        rows, nests = _plan_rows(first, second), _groups_difference(first, second)
        machines = (first.data.accelerator, second.data.accelerator)
    else:
        raise InputError("compare", "a schedule and a plan", need="two of one kind")
    return Comparison(names or _told_apart(machines), rows, nests)


def _told_apart(machines: tuple[str, str]) -> tuple[str, str]:
    return machines if machines[0] != machines[1] else ("first", "second")


def _schedule_rows(first: Schedule, second: Schedule) -> list[Record]:
    rows = _figures(first, second)
    moved = [_moved_bytes(one) for one in (first, second)]
    for level in dict.fromkeys([*moved[0], *moved[1]]):
        rows.append(_row(f"{level} bytes", *(side.get(level, 0) for side in moved)))
    return rows


def _plan_rows(first: Plan, second: Plan) -> list[Record]:
    return [
        *_figures(first, second),
        _row("DRAM bytes", first.dram_bytes, second.dram_bytes),
        _row("groups", len(first.data.rows), len(second.data.rows)),
    ]


def _figures(first: Schedule | Plan, second: Schedule | Plan) -> list[Record]:
    return [
        _row("cycles", first.cycles, second.cycles),
        _row("energy pJ", first.energy_pj, second.energy_pj),
    ]


def _moved_bytes(schedule: Schedule) -> dict[str, int]:
    """Bytes read from and written to each level, outermost first."""
    found = {level.name: 0 for level in schedule.accelerator.levels}
    for (level, _), access in schedule.cost.accesses.items():
        found[level] = found.get(level, 0) + access.total_bytes
    return found


def _row(figure: str, first: float, second: float) -> Record:
    ratio = second / first if first else None
    return {"figure": figure, "first": first, "second": second, "ratio": ratio}


def _difference(first: str, second: str) -> tuple[str, ...]:
    lines = difflib.ndiff(first.splitlines()[1:], second.splitlines()[1:])
    kept = [line for line in lines if not line.startswith("?")]
    return tuple(kept) if any(line[0] in "+-" for line in kept) else ()


def _groups_difference(first: Plan, second: Plan) -> tuple[str, ...]:
    sides = ("\n".join(["", *(row.name for row in one.data.rows)]) for one in (first, second))
    return _difference(*sides)
