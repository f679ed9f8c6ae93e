"""The best partition is that of enumeration, fusion never loses, the same input the same plan."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from itertools import combinations

import pytest

from inferstack.core.errors import InputError, UnknownNameError
from inferstack.core.infeasible import Infeasible
from inferstack.cost.figures import OBJECTIVES
from inferstack.cost.groups.group import GroupCost, group_cost, tiled_group
from inferstack.cost.groups.setting import Setting
from inferstack.hardware.load import load_accelerator
from inferstack.ir.graph import Graph
from inferstack.mapping.group import WHOLE, Tile
from inferstack.mapping.kernels import Kernel, KernelGraph, kernels_of
from inferstack.schedule.groups.choose import Fusion, choose
from inferstack.schedule.searcher import Searcher

from .conftest import bottleneck, layer, machine

TILES = [Tile(rows=rows, by_head=by_head) for by_head in (False, True) for rows in (None, 32, 16)]


def some_of(graph: Graph, *names: str) -> KernelGraph:
    """The kernels of those names alone; what others read leaves."""
    found = kernels_of(graph)
    kept = tuple(kernel for kernel in found.kernels if kernel.name in names)
    return dataclasses.replace(found, kernels=kept, outputs=found.outputs | {names[-1]})


def fused(setting: Setting, objective: str) -> Fusion:
    """The choice, which must exist."""
    found = choose(setting, objective)
    assert isinstance(found, Fusion)
    return found


def ways(setting: Setting, kernels: tuple[Kernel, ...]) -> Iterator[GroupCost]:
    """Every way to run a group, costed."""
    for tile in TILES if len(kernels) > 1 else [WHOLE]:
        found = under(setting, kernels, tile)
        # Where whole rows of scores have no room: the most columns that have.
        for columns in (32, 16) if len(kernels) > 1 else ():
            found = found or under(setting, kernels, dataclasses.replace(tile, columns=columns))
        yield from found


def under(setting: Setting, kernels: tuple[Kernel, ...], tile: Tile) -> list[GroupCost]:
    """Every way to run a group under a tile, costed."""
    level = setting.accelerator.level("scratchpad")
    group = tiled_group(setting, kernels, tile)
    if group is None:
        return []
    sets = (s for n in range(len(group.pinnable) + 1) for s in combinations(group.pinnable, n))
    found = []
    for pinned in sets if len(kernels) > 1 else [()]:
        cost = group_cost(setting, group, level, frozenset(pinned))
        if cost is not None and connected(kernels, pinned):
            found.append(cost)
    return found


def connected(kernels: tuple[Kernel, ...], pinned: tuple[str, ...]) -> bool:
    """Whether a walk along results and pinned tensors reaches all kernels."""
    made = {kernel.writes.tensor for kernel in kernels}
    ties = [
        {kernel.writes.tensor, *(p.tensor for p in kernel.reads if p.tensor in made | {*pinned})}
        for kernel in kernels
    ]
    reached, todo = {0}, [0]
    while todo:
        here = todo.pop()
        for other, tie in enumerate(ties):
            if other not in reached and tie & ties[here]:
                reached.add(other)
                todo.append(other)
    return len(reached) == len(kernels)


def partitions(kernels: tuple[Kernel, ...]) -> Iterator[list[tuple[Kernel, ...]]]:
    """Every way to cut."""
    for cuts in itertools.product((False, True), repeat=len(kernels) - 1):
        groups, start = [], 0
        for at, cut in enumerate(cuts, 1):
            if cut:
                groups.append(kernels[start:at])
                start = at
        yield [*groups, kernels[start:]]


def value(groups: tuple[GroupCost, ...], objective: str) -> float:
    """What is minimized."""
    cycles, energy = sum(g.cycles for g in groups), sum(g.energy_pj for g in groups)
    return {
        "latency": float(cycles),
        "energy": energy,
        "edp": cycles * energy,
        "dram_bytes": float(sum(g.dram_bytes for g in groups)),
    }[objective]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("scratchpad", [6 * 1024, 40 * 1024])
def test_the_optimum_is_that_of_enumeration(objective: str, scratchpad: int) -> None:
    graph = some_of(layer(64, 64, 2, 64), "value", "scores", "softmax", "context")
    setting = Setting(
        graph=graph, accelerator=machine(scratchpad), inner=Searcher(objective, perfect=True)
    )
    known: dict[tuple[str, ...], list[GroupCost]] = {}
    best = float("inf")
    for groups in partitions(graph.kernels):
        choices = []
        for group in groups:
            names = tuple(kernel.name for kernel in group)
            if names not in known:
                known[names] = list(ways(setting, group))
            choices.append(known[names])
        best = min([best, *(value(pick, objective) for pick in itertools.product(*choices))])
    found = fused(setting, objective)
    assert value(found.groups, objective) == pytest.approx(best, rel=1e-12)
    proof = found.proof
    assert proof.options == proof.evaluated + proof.misfits + proof.pruned_by_bound
    assert proof.partitions == 8


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(
    "graph", [layer(64, 64, 2, 128), bottleneck(16, 14)], ids=["layer", "conv"]
)
def test_fusion_never_loses_and_is_the_same_every_time(graph: Graph, objective: str) -> None:
    kernels = kernels_of(graph)
    found = [
        fused(
            Setting(graph=kernels, accelerator=machine(), inner=Searcher(objective, perfect=True)),
            objective,
        )
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert value(found[0].groups, objective) <= value(found[0].unfused, objective)
    alone = choose(
        Setting(graph=kernels, accelerator=machine(), inner=Searcher(objective, perfect=True)),
        objective,
        fuse=False,
    )
    assert isinstance(alone, Fusion)
    assert alone.groups == alone.unfused == found[0].unfused


def test_attention_never_writes_its_scores_where_that_is_cheaper() -> None:
    graph = kernels_of(layer(64, 64, 2, 128))
    setting = Setting(graph=graph, accelerator=machine(), inner=Searcher("energy", perfect=True))
    group = next(g for g in fused(setting, "energy").groups if "softmax" in g.kernels)
    assert {"scores", "softmax", "context"} <= set(group.kernels)


def test_a_kind_that_nothing_computes() -> None:
    target = load_accelerator("peers-target")
    assert target.vector_unit is not None
    passes = {k: v for k, v in target.vector_unit.passes.items() if k != "gelu"}
    unit = dataclasses.replace(target.vector_unit, passes=passes)
    accelerator = dataclasses.replace(target, vector_unit=unit)
    setting = Setting(
        graph=kernels_of(layer(16, 16, 2, 16)),
        accelerator=accelerator,
        inner=Searcher("edp", perfect=True),
    )
    with pytest.raises(InputError) as error:
        choose(setting, "edp")
    assert str(error.value).startswith(
        "operator gelu: peers-target has neither a unit nor a host for it; got gelu, need one of"
    )
    assert "add gelu to vector_unit.kinds" in str(error.value)


def test_an_unknown_objective() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'energy'"):
        Searcher("enrgy")


def test_a_row_that_does_not_fit_the_accumulator() -> None:
    target = machine()
    levels = tuple(
        dataclasses.replace(level, capacity_bytes=1024) if level.name == "accumulator" else level
        for level in target.levels
    )
    setting = Setting(
        graph=kernels_of(layer(16, 512, 2, 16)),
        accelerator=dataclasses.replace(target, levels=levels),
        inner=Searcher("edp", perfect=True),
    )
    found = choose(setting, "edp")
    assert isinstance(found, Infeasible)
    assert found.message() == (
        "accumulator of peers-target, a row of norm1: does not fit; got a demand of 2,048 bytes, "
        "need at most 1,024 bytes\n\nhint: a larger accumulator"
    )
