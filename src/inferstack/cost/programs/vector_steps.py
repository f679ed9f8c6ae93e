"""Cycles of an operator of the vector unit on its own: rows in, through the unit, out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferstack.core.compiled import compiled
from inferstack.cost.programs import packed as at
from inferstack.cost.programs.dma import move, pace_beside_loads, sizes, store_rows, together, up

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@compiled
def _vector_load(rows: int, columns: int, bits: Array, p: Array) -> tuple[float, int]:
    """Loads of a tile of every operand of a vector operator."""
    cycles, beats = 0.0, 0
    for width in bits:
        more, also = move(rows, up(columns * width, 8), p[at.REQUEST], p[at.READ], p[at.LOADS], p)
        cycles, beats = cycles + more, beats + also
    return cycles, beats


@compiled
def vector_cycles(problem: Array, bits: Array, p: Array) -> float:
    """Predicted cycles of a vector operator.

    problem: batch, rows, columns, rows and columns of a tile, bits of the result, tiles that fit at
    once. bits: of operands. Stores begin when the first rows are there, and loads run ahead until
    the memory is full; from then on each load waits for the store that frees its place, so that
    they meet on the bus.
    """
    batch, rows, columns, tall, wide, out, ahead = problem
    head = min(tall, p[at.ROWS])
    loads, load_beats, stores, store_beats, requests, aside = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    tiles = batch * up(rows, tall) * up(columns, wide)
    for last_row in range(2):
        trips, last = sizes(rows, tall)
        height, count_rows = (last, 1) if last_row else (tall, trips - 1)
        for last_column in range(2):
            trips, last = sizes(columns, wide)
            width, count = (last, 1) if last_column else (wide, trips - 1)
            count *= batch * count_rows
            if count == 0:
                continue
            cycles, beats = _vector_load(height, width, bits, p)
            loads, load_beats = loads + count * cycles, load_beats + count * beats
            cycles, beats, more, off = store_rows(height, width, out, True, p)
            stores, store_beats = stores + count * cycles, store_beats + count * beats
            requests, aside = requests + count * more, aside + count * off
    first = _vector_load(min(head, rows), min(wide, columns), bits, p)[0]
    share = 1.0 - first / loads
    loads, load_beats = loads * share, load_beats * share
    total: float = p[at.READ] + first + p[at.WRITE]
    free = together(loads, load_beats, stores, store_beats, requests, aside, p)
    if loads <= 0.0 or tiles <= ahead:
        return total + free
    shared = pace_beside_loads(loads, load_beats, stores - aside, store_beats, requests, p)
    meeting = min(requests, loads * p[at.BUS] / p[at.REQUEST])
    bound = stores + meeting * (shared - (stores - aside) / requests)
    bound = max(bound, free)
    return float(total + bound + (free - bound) * ahead / tiles)
