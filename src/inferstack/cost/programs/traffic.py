"""Exact traffic of a nest: what crosses between each two places where an operand lives.

A store holds one tile, and is filled when the tile that the loops above it select (the chunks of
the operand's dimensions) is another one than the tile held. An operand that the array's dataflow
keeps stationary is held there in the same way; the others stream: they cross at every step of the
innermost loop. Remainders of factors that do not divide are counted as they are. An input's halo
(convolution) is fetched again with each tile that contains it. Idle rows of experts move like all
others: a program's tiles have the same size for each.

An output tile leaves when it changes, and comes back if it was there before: every element that
crosses W times outwards crosses W - 1 times inwards, as the first time there is nothing to read.
"""

from __future__ import annotations

from inferstack.core.units import ceil_div
from inferstack.cost.access import ARRAY, Access, Crossing, stationary
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.mapping.contraction import Contraction, Operand
from inferstack.mapping.legality import Nest


class _Counter:
    """Counts the tiles of one operand below a number of loops, by recursion over the nest."""

    def __init__(self, nest: Nest, operand: Operand, dims: tuple[str, ...], held: bool) -> None:
        self.loops = nest.loops
        self.operand, self.dims, self.held = operand, dims, held
        self.moves = tuple(name in operand.dims for name in dims)
        self.depth = 0
        self.memo: dict[tuple[int, tuple[int, ...]], tuple[int, int]] = {}

    def count(self, depth: int, extents: tuple[int, ...]) -> tuple[int, int]:
        """(transfers, elements) of a store below the first `depth` loops."""
        self.depth = depth
        self.memo.clear()
        return self._below(0, extents)

    def _below(self, at: int, chunk: tuple[int, ...]) -> tuple[int, int]:
        if at == self.depth:
            return 1, self.operand.elements(dict(zip(self.dims, chunk, strict=True)))
        key = (at, chunk)
        if key not in self.memo:
            self.memo[key] = self._loop(at, chunk)
        return self.memo[key]

    def _loop(self, at: int, chunk: tuple[int, ...]) -> tuple[int, int]:
        dim, step = self.loops[at]
        full, rest = divmod(chunk[dim], step)
        inner = (*chunk[:dim], step, *chunk[dim + 1 :])
        last = (*chunk[:dim], rest, *chunk[dim + 1 :])
        if self.held and not self.moves[dim]:
            # One and the same tile for the whole loop: it is fetched once.
            found = self._below(at + 1, inner if full else last)
            if found[0] == 1:
                return found
        transfers = elements = 0
        if full:
            transfers, elements = (full * value for value in self._below(at + 1, inner))
        if rest:
            more = self._below(at + 1, last)
            transfers, elements = transfers + more[0], elements + more[1]
        return transfers, elements


def crossings(
    nest: Nest, contraction: Contraction, accelerator: Accelerator
) -> tuple[Crossing, ...]:
    """All crossings of all operands, outermost first for each operand."""
    dims = tuple(name for name, _ in contraction.dims)
    extents = tuple(extent for _, extent in contraction.dims)
    found: list[Crossing] = []
    for operand in contraction.operands:
        outer = accelerator.levels[0].name
        for place in nest.places[operand.slot]:
            counter = _Counter(nest, operand, dims, held=not place.refetched)
            transfers, elements = counter.count(place.depth, extents)
            found.append(_crossing(operand, outer, place.level, transfers, elements))
            outer = place.level
        held = stationary(accelerator) is operand.role
        counter = _Counter(nest, operand, dims, held=held)
        transfers, elements = counter.count(len(nest.loops), extents)
        found.append(_crossing(operand, outer, ARRAY, transfers, elements))
    return tuple(found)


def _crossing(operand: Operand, outer: str, inner: str, transfers: int, elements: int) -> Crossing:
    return Crossing(
        slot=operand.slot,
        role=operand.role,
        outer=outer,
        inner=inner,
        transfers=transfers,
        elements=elements,
    )


def bias_reads(nest: Nest, contraction: Contraction, accelerator: Accelerator) -> int:
    """Elements of the bias that DRAM delivers: one row of n for every block row of each new tile,
    in each matrix product of a batch.

    The accumulator is written whole: one value goes to all rows of a block of `array.rows` rows.
    """
    if contraction.bias_bits is None:
        return 0
    places = nest.places[contraction.by_role(Role.OUTPUT).slot]
    depth = places[0].depth if places else len(nest.loops)
    sizes = {"m": [contraction.extents["m"]]}
    for dim, step in nest.loops[:depth]:
        if contraction.dims[dim][0] == "m":
            sizes["m"] = [
                min(step, size - at) for size in sizes["m"] for at in range(0, size, step)
            ]
    rows = sum(ceil_div(size, accelerator.array.rows) for size in sizes["m"])
    return contraction.batch * rows * contraction.extents["n"]


def output_chunks(nest: Nest, contraction: Contraction, dim: str) -> int:
    """Chunks of a dimension into which the outputs' tiles are cut, at their outermost store."""
    places = nest.places[contraction.by_role(Role.OUTPUT).slot]
    depth = places[0].depth if places else len(nest.loops)
    sizes = [contraction.extents[dim]]
    for index, step in nest.loops[:depth]:
        if contraction.dims[index][0] == dim:
            sizes = [min(step, size - at) for size in sizes for at in range(0, size, step)]
    return len(sizes)


def accesses(
    found: tuple[Crossing, ...], contraction: Contraction, accelerator: Accelerator, bias: int
) -> dict[tuple[str, str], Access]:
    """Bytes by (level, slot). bias: elements of the bias read from DRAM."""
    reads: dict[tuple[str, str], int] = {}
    writes: dict[tuple[str, str], int] = {}

    def add(where: dict[tuple[str, str], int], level: str, slot: str, bits: int) -> None:
        if level != ARRAY:
            where[level, slot] = where.get((level, slot), 0) + bits

    for crossing in found:
        operand = contraction.operand(crossing.slot)
        outer, inner, slot = crossing.outer, crossing.inner, crossing.slot
        if operand.role is not Role.OUTPUT:
            add(reads, outer, slot, crossing.elements * operand.bits)
            add(writes, inner, slot, crossing.elements * operand.bits)
            continue
        total = operand.elements(contraction.extents)
        outer_bits = accelerator.level(outer).partial_sum_bits
        inner_bits = outer_bits if inner == ARRAY else accelerator.level(inner).partial_sum_bits
        # The array hands on raw sums; a memory hands on the final result the last time.
        raw = inner == ARRAY and outer != accelerator.levels[0].name
        final_bits = outer_bits if raw else operand.bits
        back = crossing.elements - total
        add(writes, outer, slot, back * outer_bits + total * final_bits)
        add(reads, outer, slot, back * outer_bits)
        add(reads, inner, slot, crossing.elements * inner_bits)
        add(writes, inner, slot, back * inner_bits)
    if contraction.bias_bits is not None:
        output = contraction.by_role(Role.OUTPUT)
        add(reads, accelerator.levels[0].name, "bias", bias * contraction.bias_bits)
        first = next(c for c in found if c.slot == output.slot)
        if first.inner != ARRAY:
            bits = accelerator.level(first.inner).partial_sum_bits
            total = output.elements(contraction.extents)
            add(writes, first.inner, output.slot, total * bits)
            inmost = [c for c in found if c.slot == output.slot][-1].outer
            add(reads, inmost, output.slot, total * accelerator.level(inmost).partial_sum_bits)
    return {
        key: Access(
            read_bytes=ceil_div(reads.get(key, 0), 8), written_bytes=ceil_div(writes.get(key, 0), 8)
        )
        for key in sorted({*reads, *writes})
    }
