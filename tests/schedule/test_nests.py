"""The optimum equals that of plain enumeration of the whole stated space, costed by the model."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from tests.mapping.machines import hierarchy, padded, placed, small_contraction, uneven
from tests.slow import slow

from inferstack.core.infeasible import Infeasible
from inferstack.cost.access import stationary
from inferstack.cost.cost import Cost, cost
from inferstack.cost.figures import OBJECTIVES
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator
from inferstack.hardware.load import load_accelerator
from inferstack.mapping import legality
from inferstack.mapping.contraction import Contraction
from inferstack.mapping.nest import Loop, Mapping, Node, Spatial, Store
from inferstack.mapping.shapes import convolution
from inferstack.schedule.nests import blocks
from inferstack.schedule.nests.chains import Stage, chains
from inferstack.schedule.nests.front import front
from inferstack.schedule.nests.optimum import optimum
from inferstack.schedule.nests.size import space_size
from inferstack.schedule.nests.skeleton import all_skeletons

LARGEST_SPACE = 400
MOST_SKELETONS = 100
PADDED = range(212, 224)
"""Seeds of cases whose convolutions have padding."""


def orders(chains: list[list[Node]]) -> Iterator[tuple[Node, ...]]:
    """Every interleaving."""
    left = [chain for chain in chains if chain]
    if not left:
        yield ()
    for number, chain in enumerate(left):
        for tail in orders([*left[:number], chain[1:], *left[number + 1 :]]):
            yield (chain[0], *tail)


def frames(wanted: Contraction, machine: Accelerator) -> Iterator[list[Node | int | None]]:
    """Stores in any levels and any order; a number is a fan-out; None the array's own store."""
    bounds = [machine.index(f.below) for f in machine.fan_outs]
    choices = []
    for operand in wanted.operands:
        home = operand.home(machine)
        held = [i for i, v in enumerate(machine.levels) if i > home and operand.role in v.holds]
        if not held:
            choices.append([tuple[int, ...]()])
            continue
        subsets = itertools.chain.from_iterable(
            itertools.combinations(held[:-1], size) for size in range(len(held))
        )
        choices.append([(*subset, held[-1]) for subset in subsets])
    kept = stationary(machine)
    for residency in itertools.product(*choices):
        parts: list[list[tuple[Node, ...]]] = []
        low = 0
        for bound in [*bounds, len(machine.levels)]:
            chains: list[list[Node]] = []
            for operand, levels in zip(wanted.operands, residency, strict=True):
                names = [machine.levels[at].name for at in levels if low < at <= bound]
                stores: list[Node] = [Store(operand.slot, name) for name in names]
                if bound == len(machine.levels) and operand.role is kept:
                    stores.append(Store(operand.slot, ""))
                chains.append(stores)
            parts.append(list(orders(chains)))
            low = max(low, bound)
        for chosen in itertools.product(*parts):
            frame: list[Node | int | None] = []
            for number, part in enumerate(chosen):
                frame += [None if isinstance(n, Store) and not n.level else n for n in part]
                if number < len(bounds):
                    frame.append(number)
            yield frame


def walks(
    extent: int, caps: list[int | None], side: int, perfect: bool
) -> Iterator[tuple[int, ...]]:
    """Steps of every stage, outermost first: nested, the last at most `side`.

    caps: None for loops, else the most pieces. A step of at least the extent is no loop.
    """

    def inwards(at: int, inner: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if at == 0:
            if caps[0] is None or math.ceil(extent / inner[0]) <= caps[0]:
                yield inner
            return
        for j in range(1, math.ceil(extent / inner[0]) + 1):
            cap = caps[at]
            if (cap is None or j <= cap) and not (perfect and extent % (j * inner[0])):
                yield from inwards(at - 1, (j * inner[0], *inner))

    for end in range(1, min(side, extent) + 1):
        if not (perfect and extent % end):
            yield from inwards(len(caps) - 1, (end,))


def enumerated(
    wanted: Contraction, machine: Accelerator, perfect: bool, chance: random.Random
) -> tuple[list[Cost], int]:
    """Costs of all mappings that fit, and how many mappings there are."""
    array = machine.array
    costs, size = list[Cost](), 0
    for frame in frames(wanted, machine):
        places: list[tuple[str, object]] = [("loop", None)]
        for node in frame:
            if isinstance(node, int):
                places += [("axis", axis) for axis in machine.fan_outs[node].axes]
            places.append(("loop", None))
        options = []
        for dim, extent in wanted.dims:
            side = max(
                [1, *(array.rows for _ in [0] if dim in array.row_dims),
                 *(array.columns for _ in [0] if dim in array.column_dims)]
            )  # fmt: skip
            own = [p for p in places if p[0] == "loop" or dim in getattr(p[1], "dims", ())]
            caps = [None if kind == "loop" else int(getattr(a, "size", 0)) for kind, a in own]
            options.append([(own, steps) for steps in walks(extent, caps, side, perfect)])
        for chosen in itertools.product(*options):
            size += 1
            for shuffled in (False, True):
                made = _nest(wanted, machine, frame, chosen, chance if shuffled else None)
                if made is None:
                    break
                nest = legality.checked(made, wanted, machine)
                if legality.misfit(nest, wanted, machine) is None:
                    costs.append(cost(made, wanted, machine))
    return costs, size


def _nest(
    wanted: Contraction,
    machine: Accelerator,
    frame: list[Node | int | None],
    chosen: tuple[tuple[list[tuple[str, object]], tuple[int, ...]], ...],
    chance: random.Random | None,
) -> Mapping | None:
    """The mapping; loops of a segment in the order in which the next store likes them, or any."""
    chunk, nodes = wanted.extents, list[Node]()
    names = [name for name, _ in wanted.dims]
    at = [0] * len(names)
    left = {axis.name: axis.size for fan_out in machine.fan_outs for axis in fan_out.axes}

    def loops(following: Node | int | None) -> None:
        found = []
        for number, name in enumerate(names):
            step = chosen[number][1][at[number]]
            at[number] += 1
            if step < chunk[name]:
                found.append(Loop(name, step))
                chunk[name] = step
        moves = wanted.operand(following.slot).dims if isinstance(following, Store) else ()
        found.sort(key=lambda loop: loop.dim in moves)
        if chance is not None:
            chance.shuffle(found)
        nodes.extend(found)

    following = [*frame[1:], None][: len(frame)]
    loops(frame[0] if frame else None)
    for node, after in zip(frame, following, strict=True):
        if isinstance(node, int):
            for axis in machine.fan_outs[node].axes:
                for number, name in enumerate(names):
                    if name not in axis.dims:
                        continue
                    step = chosen[number][1][at[number]]
                    at[number] += 1
                    if step < chunk[name]:
                        extent = math.ceil(chunk[name] / step)
                        left[axis.name] //= extent
                        if left[axis.name] == 0:
                            return None
                        nodes.append(Spatial(name, extent, axis.name, step))
                        chunk[name] = step
        elif node is not None:
            nodes.append(node)
        loops(after)
    sides = {"row": machine.array.rows, "column": machine.array.columns}
    ends = {name: steps[-1] for name, (_, steps) in zip(names, chosen, strict=True)}
    for side, dims in (("row", machine.array.row_dims), ("column", machine.array.column_dims)):
        for dim in dims:
            if ends.get(dim, 1) > 1:
                sides[side] //= ends[dim]
                if sides[side] == 0:
                    return None
                nodes.append(Spatial(dim, ends[dim], side))
    return Mapping(operator=wanted.name, accelerator=machine.name, nodes=tuple(nodes))


def tiny(
    chance: random.Random, padding: bool = False, experts: bool = False
) -> tuple[Contraction, Accelerator]:
    """A case whose whole space can be enumerated."""
    while True:
        machine = hierarchy(chance, roomy=False)
        wanted = uneven(chance) if experts else small_contraction(chance, 5)
        wanted = placed(chance, wanted, machine)
        if padding:
            wanted = padded(chance, wanted)
            if not any(index.size for operand in wanted.operands for index in operand.indices):
                continue
        if 1 < space_size(wanted, machine, False) <= LARGEST_SPACE:
            return wanted, machine


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("seed", [*range(10), 5073, *slow(range(10, 24))])
def test_the_optimum_is_that_of_enumeration(seed: int, padding: bool) -> None:
    chance = random.Random(seed)
    equals_enumeration(*tiny(chance, padding), chance)


@pytest.mark.parametrize("seed", [*range(6), *slow(range(6, 12))])
def test_the_optimum_of_experts_with_fewer_rows_is_that_of_enumeration(seed: int) -> None:
    chance = random.Random(seed)
    equals_enumeration(*tiny(chance, experts=True), chance)


def equals_enumeration(wanted: Contraction, machine: Accelerator, chance: random.Random) -> None:
    """For every objective, and the certificate counts the same space."""
    perfect = chance.random() < 0.3
    costs, size = enumerated(wanted, machine, perfect, chance)
    for objective in OBJECTIVES:
        found = optimum(wanted, machine, objective, perfect=perfect)
        if not costs:
            assert isinstance(found, Infeasible)
            continue
        assert isinstance(found, Scheduled)
        best = min(cost.value(objective) for cost in costs)
        assert math.isclose(found.cost.value(objective), best, rel_tol=1e-9), objective
        proof = found.proof
        assert proof.optimal
        assert proof.space_size == size
        assert proof.space_size == (
            proof.misfits + proof.evaluated + proof.pruned_by_bound + proof.pruned_by_dominance
        )


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("seed", [0, 1, *slow(range(2, 6))])
def test_mirrored_dimensions_are_searched_once_and_right(seed: int, padding: bool) -> None:
    chance = random.Random(seed)
    while True:
        size, kernel = chance.randint(2, 3), chance.randint(1, 2)
        wanted = convolution(
            n=1, c=1, p=size, q=size, r=kernel, s=kernel, stride=chance.randint(1, 2),
            padding=int(padding and size > 2),
        )  # fmt: skip
        machine = hierarchy(chance, roomy=False)
        if space_size(wanted, machine, False) <= LARGEST_SPACE:
            break
    costs, _ = enumerated(wanted, machine, False, chance)
    for objective in OBJECTIVES:
        found = optimum(wanted, machine, objective)
        assert isinstance(found, Scheduled) == bool(costs)
        if isinstance(found, Scheduled):
            best = min(cost.value(objective) for cost in costs)
            assert math.isclose(found.cost.value(objective), best, rel_tol=1e-9)


@pytest.mark.parametrize("seed", range(100, 108))
def test_the_front_is_that_of_enumeration(seed: int) -> None:
    chance = random.Random(seed)
    wanted, machine = tiny(chance)
    costs, _ = enumerated(wanted, machine, False, chance)
    found = front(wanted, machine)
    if not costs:
        assert isinstance(found, Infeasible)
        return
    assert not isinstance(found, Infeasible)
    points = [(round(p.cost.energy_pj, 6), p.cost.cycles) for p in found]
    least = dict[int, float]()
    for one in costs:
        least[one.cycles] = min(least.get(one.cycles, math.inf), round(one.energy_pj, 6))
    expected = [
        (energy, cycles)
        for cycles, energy in least.items()
        if all(energy < other for c, other in least.items() if c < cycles)
    ]
    assert points == sorted(expected)


@pytest.mark.parametrize("seed", [51270, 200, 201, *slow([202]), *range(203, 224)])
def test_steps_that_are_left_out_are_no_better(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Larger than enumeration goes: the same search over all multiples and all sides. In 51270 nine
    elements on two instances want a side of four, where three make as few trips."""
    chance = random.Random(seed)
    while True:
        machine = hierarchy(chance, roomy=chance.random() < 0.5)
        wanted = small_contraction(chance, 14)
        if chance.random() < 0.6:
            wanted = placed(chance, wanted, machine)
        if seed in PADDED:
            wanted = padded(chance, wanted)
        if sum(1 for _ in all_skeletons(wanted, machine)) <= MOST_SKELETONS:
            break
    narrow = [optimum(wanted, machine, objective) for objective in OBJECTIVES]

    def all_chains(
        extent: int, stages: tuple[Stage, ...], side: int, perfect: bool, *_: bool
    ) -> npt.NDArray[np.int64]:
        return chains(extent, stages, side, perfect, True, False)

    monkeypatch.setattr(blocks, "chains", all_chains)
    for objective, found in zip(OBJECTIVES, narrow, strict=True):
        wide = optimum(wanted, machine, objective)
        assert isinstance(found, Scheduled) == isinstance(wide, Scheduled)
        if isinstance(found, Scheduled) and isinstance(wide, Scheduled):
            assert math.isclose(found.cost.value(objective), wide.cost.value(objective))


def overlapping(chance: random.Random) -> tuple[Contraction, Accelerator]:
    """Strided and dilated convolutions, or anything small, operands anywhere."""
    odd = chance.random() < 0.5
    while True:
        machine = hierarchy(chance, roomy=chance.random() < 0.5)
        if odd:
            size, kernel, square = chance.randint(3, 7), chance.randint(1, 3), chance.random() < 0.6
            wanted = convolution(
                n=chance.randint(1, 3),
                c=chance.randint(1, 3),
                p=size,
                q=size if square else chance.randint(1, 4),
                r=kernel,
                s=kernel if square else chance.randint(1, 2),
                stride=chance.randint(1, 3),
                dilation=chance.randint(1, 3),
            )
        else:
            wanted = small_contraction(chance, 13)
        if chance.random() < 0.5:
            wanted = placed(chance, wanted, machine)
        if sum(1 for _ in all_skeletons(wanted, machine)) <= MOST_SKELETONS // 2:
            return wanted, machine


@pytest.mark.parametrize("seed", [*slow([303]), 307, 308, 309, 342, 343])
def test_a_search_without_time_claims_no_more_than_it_has_proven(seed: int) -> None:
    """Its best may be a nest that is not canonical, for which the search counts too much; and it
    may have left ties open."""
    wanted, machine = overlapping(random.Random(seed))
    for objective in OBJECTIVES:
        hasty = optimum(wanted, machine, objective, budget_s=0.0)
        found = optimum(wanted, machine, objective)
        assert isinstance(hasty, Scheduled) == isinstance(found, Scheduled)
        if not isinstance(hasty, Scheduled) or not isinstance(found, Scheduled):
            continue
        value, proof = found.cost.value(objective), hasty.proof
        assert proof.bound <= value * (1 + 1e-9)
        assert hasty.cost.value(objective) >= value * (1 - 1e-9)
        assert min(proof.open, proof.pruned_by_dominance) >= 0
        if proof.optimal:
            assert math.isclose(hasty.cost.energy_pj, found.cost.energy_pj)
            assert hasty.cost.cycles == found.cost.cycles


def test_four_elements_side_by_side_on_two_instances() -> None:
    """A mapping that was drawn at random once beat a proven optimum."""
    chance = random.Random(51270)
    machine = hierarchy(chance, roomy=chance.random() < 0.5)
    wanted = small_contraction(chance, 14)
    assert wanted.extents == {"m": 8, "n": 9, "k": 9}
    nodes = (
        Loop("n", 8),
        Store("b", "l0"),
        Spatial("n", 2, "xl0", 4),
        Loop("m", 2),
        Store("out", "l1"),
        Loop("k", 3),
        Store("a", "l1"),
        Loop("m", 1),
        Spatial("k", 3, "row"),
        Spatial("n", 4, "column"),
    )
    drawn = cost(
        Mapping(operator=wanted.name, accelerator=machine.name, nodes=nodes), wanted, machine
    )
    found = optimum(wanted, machine, "edp")
    assert isinstance(found, Scheduled)
    assert found.cost.value("edp") <= drawn.value("edp")


def test_weights_do_not_outlast_a_pass_over_the_instances() -> None:
    """The stem of ResNet-50 on Eyeriss: two parts of the columns outside of the elements, whose
    filters are then loaded twice; the search and the model once disagreed about that.
    """
    stem = convolution(n=64, c=3, p=112, q=112, r=7, s=7, stride=2)
    found = optimum(stem, load_accelerator("eyeriss"), "dram_bytes")
    assert isinstance(found, Scheduled)
    columns, rows, filters = (2 * 56 + 7) + (2 * 54 + 7), 2 * 111 + 7, 64 * 3 * 7 * 7
    assert found.cost.dram_bytes == 3 * columns * rows + 2 * filters + 64 * 112 * 112
