"""Compiled branch and bound over the blocks of one skeleton.

Blocks are assigned one after another. What is assigned multiplies every term and tile; for what is
not yet, the least factor of any candidate left stands in, term by term, so the sums are bounds from
below. After each choice the candidates of the other blocks are looked through: those that cannot
fit, or whose bound is over the best so far, are left out below it. Every combination is counted
once: evaluated, not fitting, or bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.compiled import compiled

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

EVALUATED, BOUNDED, MISFITS = range(3)
LATENCY, ENERGY, EDP, DRAM = range(4)
SLACK = 1e-12
"""Rounding of sums in another order: figures that are as close are equal."""


@compiled
def chunks(extent: int, steps: Array, depth: int, every: Array) -> tuple[Array, Array, Array]:
    """Size, number, and the one smaller chunk of what `depth` stages cut a dimension into.

    steps: (candidates, stages). every: by stage, whether all its steps count, or the first alone.
    """
    rows = len(steps)
    sizes, counts = np.empty(rows, dtype=np.int64), np.empty(rows, dtype=np.int64)
    rests = np.empty(rows, dtype=np.int64)
    for row in range(rows):
        size, count, rest = extent, 1, 0
        for stage in range(depth):
            step = min(steps[row, stage], size)
            if step == size:
                # All of a chunk; what is smaller stays as it is.
                continue
            if every[stage]:
                left = rest % step if rest > 0 else size % step
                count, rest = count * (size // step) + rest // step, left
            elif rest >= step:
                count, rest = count + 1, 0
            size = step
        sizes[row], counts[row], rests[row] = size, count, rest
    return sizes, counts, rests


@compiled
def undominated(figures: Array) -> Array:
    """Rows, in an order in which none comes before one that beats it, that none before matches."""
    count, width = figures.shape
    kept = np.empty(count, dtype=np.int64)
    found = 0
    for row in range(count):
        beaten = False
        for place in range(found - 1, -1, -1):
            other, worse = kept[place], False
            for column in range(width):
                if figures[other, column] > figures[row, column]:
                    worse = True
                    break
            if not worse:
                beaten = True
                break
        if not beaten:
            kept[found] = row
            found += 1
    return kept[:found]


@compiled
def _cycles(forms: Array, fill: float) -> float:
    worst = 0.0
    for port in range(2, len(forms)):
        worst = max(worst, forms[port])
    return float(np.ceil(worst * (1 - SLACK)) + fill)


@compiled
def _goal(objective: int, forms: Array, fill: float, goal: Array) -> None:
    """Fills goal: the figure to minimize, and what decides between equals."""
    cycles = _cycles(forms, fill)
    if objective == LATENCY:
        goal[0], goal[1] = cycles, forms[0]
    elif objective == ENERGY:
        goal[0], goal[1] = forms[0], cycles
    elif objective == EDP:
        goal[0], goal[1] = forms[0] * cycles, forms[0]
    else:
        goal[0], goal[1] = forms[1], forms[0]
    goal[2] = cycles


@compiled
def _over(goal: Array, best: Array, limit: float) -> bool:
    """Whether a bound shows that nothing below it can be better than the best, or within limit.

    What can at most be equal is left out: of equals the first stays.
    """
    if goal[2] > limit:
        return True
    if goal[0] > best[0] * (1 + SLACK):
        return True
    return bool(goal[0] >= best[0] * (1 - SLACK) and goal[1] >= best[1] * (1 - SLACK))


@compiled
def _fits(
    row: int, rest: Array, tiles: Array, level_of: Array, bits: Array, caps: Array, used: Array
) -> bool:
    """Whether the tiles of a candidate, times `rest`, fit in every level."""
    used[:] = 0.0
    for store in range(len(bits)):
        size = np.ceil(rest[store] * tiles[row, store] * bits[store] / 8.0)
        used[level_of[store]] += size
        if used[level_of[store]] > caps[level_of[store]]:
            return False
    return True


@compiled
def _sides_fit(row: int, rest: Array, sides: Array, limits: Array) -> bool:
    fits = True
    for axis in range(len(limits)):
        fits = fits and rest[axis] * sides[row, axis] <= limits[axis]
    return fits


@compiled
def _figures(
    sparse: tuple[Array, Array, Array], constants: Array, row: Array, rest: Array, forms: Array
) -> None:
    """Fills forms, of one candidate's terms times `rest`."""
    starts, which, factors = sparse
    for form in range(len(constants)):
        total = constants[form]
        for place in range(starts[form], starts[form + 1]):
            term = which[place]
            total += factors[place] * (rest[term] * row[term])
        forms[form] = total


@compiled
def sift(
    objective: int,
    terms: Array,
    tiles: Array,
    sides: Array,
    rest: tuple[Array, Array, Array],
    sparse: tuple[Array, Array, Array],
    constants: Array,
    machine: tuple[Array, Array, Array, Array, float],
    best: Array,
    limit: float,
    kept: Array,
) -> tuple[int, int, int]:
    """Fills kept with the rows that stay; returns how many do, do not fit, are over the best.

    rest: factors of all other blocks at their least. sparse: where each form's factors begin, the
    term of each, the factors.
    """
    level_of, bits, caps, limits, fill = machine
    used, forms, goal = np.empty(len(caps)), np.empty(len(constants)), np.empty(3)
    found = misfits = over = 0
    for row in range(len(terms)):
        if not _sides_fit(row, rest[2], sides, limits) or not _fits(
            row, rest[1], tiles, level_of, bits, caps, used
        ):
            misfits += 1
            continue
        _figures(sparse, constants, terms[row], rest[0], forms)
        _goal(objective, forms, fill, goal)
        if _over(goal, best, limit):
            over += 1
            continue
        kept[found] = row
        found += 1
    return found, misfits, over


@compiled
def _look_through(
    depth: int,
    objective: int,
    start: Array,
    terms: Array,
    tiles: Array,
    sides: Array,
    sparse: tuple[Array, Array, Array],
    constants: Array,
    machine: tuple[Array, Array, Array, Array, float],
    best: Array,
    limit: float,
    state: tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array],
    counts: Array,
) -> bool:
    """Fills the lists of `depth` from those of the depth outside; False where one is empty.

    With one block left, its candidates are complete: they are evaluated, and the best kept.
    """
    level_of, bits, caps, limits, fill = machine
    lists, size, chosen, done_terms, done_tiles, done_sides, low_terms, low_tiles, low_sides = state
    blocks, count = len(start) - 1, terms.shape[1]
    rest_terms, rest_tiles = np.empty(count), np.empty(tiles.shape[1])
    rest_sides, used = np.empty(sides.shape[1]), np.empty(len(caps))
    forms, goal = np.empty(len(constants)), np.empty(3)
    last = depth == blocks - 1
    for block in range(depth, blocks):
        rest_terms[:], rest_tiles[:] = done_terms[depth], done_tiles[depth]
        rest_sides[:] = done_sides[depth]
        others = 1
        for other in range(depth, blocks):
            if other == block:
                continue
            # Blocks before this one have been looked through: their lists are shorter now.
            at = depth + 1 if other < block else depth
            others *= size[at, other]
            rest_terms *= low_terms[at, other]
            rest_tiles *= low_tiles[at, other]
            rest_sides *= low_sides[at, other]
        kept = 0
        for place in range(size[depth, block]):
            row = lists[depth, start[block] + place]
            if not _sides_fit(row, rest_sides, sides, limits) or not _fits(
                row, rest_tiles, tiles, level_of, bits, caps, used
            ):
                counts[MISFITS] += others
                continue
            _figures(sparse, constants, terms[row], rest_terms, forms)
            _goal(objective, forms, fill, goal)
            if last:
                counts[EVALUATED] += 1
                better = goal[0] < best[0] or (goal[0] == best[0] and goal[1] < best[1])
                if goal[2] <= limit and better:
                    best[0], best[1], best[2] = goal[0], goal[1], 1.0
                    best[3 : 2 + blocks] = chosen[: blocks - 1]
                    best[2 + blocks] = row
                continue
            if _over(goal, best, limit):
                counts[BOUNDED] += others
                continue
            lists[depth + 1, start[block] + kept] = row
            if kept == 0:
                low_terms[depth + 1, block], low_tiles[depth + 1, block] = terms[row], tiles[row]
                low_sides[depth + 1, block] = sides[row]
            else:
                for term in range(count):
                    low_terms[depth + 1, block, term] = min(
                        low_terms[depth + 1, block, term], terms[row, term]
                    )
                for store in range(tiles.shape[1]):
                    low_tiles[depth + 1, block, store] = min(
                        low_tiles[depth + 1, block, store], tiles[row, store]
                    )
                for axis in range(sides.shape[1]):
                    low_sides[depth + 1, block, axis] = min(
                        low_sides[depth + 1, block, axis], sides[row, axis]
                    )
            kept += 1
        size[depth + 1, block] = kept
        if kept == 0 and not last:
            return False
    return not last


@compiled
def lowest(figures: Array, first: int, last: int) -> Array:
    """The least of each column."""
    low: Array = figures[first].copy()
    for row in range(first + 1, last):
        for column in range(len(low)):
            low[column] = min(low[column], figures[row, column])
    return low


@compiled
def explore(
    objective: int,
    first: int,
    last: int,
    start: Array,
    terms: Array,
    tiles: Array,
    sides: Array,
    sparse: tuple[Array, Array, Array],
    constants: Array,
    machine: tuple[Array, Array, Array, Array, float],
    best: Array,
    limit: float,
    counts: Array,
) -> None:
    """Walks all combinations whose first block's candidate is of rows first to last - 1.

    start: where the candidates of each block begin in terms, tiles and sides. sparse: as in `sift`.
    machine: level and bits of each store, capacity of each level, limits of the axes, fill cycles.
    best: figure, tie, whether there is one, and the row of each block; improved in place. limit:
    most cycles. counts: added to.
    """
    blocks, rows = len(start) - 1, len(terms)
    shape = (blocks + 1, blocks)
    lists, size = np.empty((blocks + 1, rows), dtype=np.int64), np.zeros(shape, dtype=np.int64)
    chosen, position = np.zeros(blocks, dtype=np.int64), np.zeros(blocks, dtype=np.int64)
    done_terms = np.ones((blocks + 1, terms.shape[1]))
    done_tiles = np.ones((blocks + 1, tiles.shape[1]))
    done_sides = np.ones((blocks + 1, sides.shape[1]))
    low_terms = np.ones((blocks + 1, blocks, terms.shape[1]))
    low_tiles = np.ones((blocks + 1, blocks, tiles.shape[1]))
    low_sides = np.ones((blocks + 1, blocks, sides.shape[1]))
    state = (
        lists, size, chosen, done_terms, done_tiles, done_sides, low_terms, low_tiles, low_sides
    )  # fmt: skip
    for block in range(blocks):
        begin, end = start[block], start[block + 1]
        if block == 0:
            begin, end = first, last
        for place in range(begin, end):
            lists[0, start[block] + place - begin] = place
        size[0, block] = end - begin
        low_terms[0, block] = lowest(terms, begin, end)
        low_tiles[0, block] = lowest(tiles, begin, end)
        low_sides[0, block] = lowest(sides, begin, end)
    forms, goal, rest = np.empty(len(constants)), np.empty(3), np.empty(terms.shape[1])
    depth = 0
    if not _look_through(
        0, objective, start, terms, tiles, sides, sparse, constants, machine, best, limit, state,
        counts,
    ):  # fmt: skip
        return
    while depth >= 0:
        if position[depth] == size[depth + 1, depth]:
            depth -= 1
            continue
        row = lists[depth + 1, start[depth] + position[depth]]
        position[depth] += 1
        chosen[depth] = row
        done_terms[depth + 1] = done_terms[depth] * terms[row]
        done_tiles[depth + 1] = done_tiles[depth] * tiles[row]
        done_sides[depth + 1] = done_sides[depth] * sides[row]
        # The best may have improved since the candidate was looked at.
        others = 1
        rest[:] = 1.0
        for block in range(depth + 1, blocks):
            rest *= low_terms[depth + 1, block]
            others *= size[depth + 1, block]
        _figures(sparse, constants, done_terms[depth + 1], rest, forms)
        _goal(objective, forms, machine[4], goal)
        if _over(goal, best, limit):
            counts[BOUNDED] += others
            continue
        # The lists of the blocks inside start from those at this depth.
        if _look_through(
            depth + 1, objective, start, terms, tiles, sides, sparse, constants, machine, best,
            limit, state, counts,
        ):  # fmt: skip
            depth += 1
            position[depth] = 0
