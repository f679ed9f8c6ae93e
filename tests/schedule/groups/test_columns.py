"""Softmax by its running maximum: what it keeps and moves, worked out by hand."""

from __future__ import annotations

import dataclasses

import pytest

from inferstack.cost.groups.group import GroupCost, group_cost, tiled_group
from inferstack.cost.groups.setting import Setting
from inferstack.mapping.group import Tile
from inferstack.mapping.kernels import KernelGraph, kernels_of
from inferstack.schedule.groups.choose import Fusion, choose
from inferstack.schedule.searcher import Searcher

from .conftest import layer, machine, once

TOKENS, WIDTH, HEADS = 64, 32, 2
DEPTH = WIDTH // HEADS
ATTENTION = ("scores", "softmax", "context")
ROWS, COLUMNS = 16, 8
TILES, TURNS = TOKENS // ROWS, TOKENS // COLUMNS
PARTIAL = ROWS * (DEPTH + 2) * 4
"""A tile's context, and the maximum and sum of each row, at 32 bit."""


def attention(graph: KernelGraph, pinned: frozenset[str]) -> GroupCost:
    """The three kernels over 8 columns at a time."""
    setting = Setting(graph=graph, accelerator=machine(2**20), inner=once)
    kernels = [kernel for kernel in graph.kernels if kernel.name in ATTENTION]
    group = tiled_group(setting, kernels, Tile(rows=ROWS, by_head=True, columns=COLUMNS))
    assert group is not None
    assert set(group.pinnable) == {"query", "key", "value"}
    cost = group_cost(setting, group, setting.accelerator.levels[1], pinned)
    assert cost is not None
    return cost


def test_it_keeps_a_chunk_of_scores_and_a_partial_context() -> None:
    cost = attention(kernels_of(layer(TOKENS, WIDTH, HEADS, 32)), frozenset())
    assert cost.kept_bytes == ROWS * COLUMNS * (4 + 1) + PARTIAL
    assert [plan.runs for plan in cost.plans] == [HEADS * TILES * TURNS] * 3
    assert cost.macs == 2 * TOKENS * TOKENS * WIDTH


def test_it_reads_keys_and_values_for_every_tile_of_rows() -> None:
    graph = kernels_of(layer(TOKENS, WIDTH, HEADS, 32))
    every = TOKENS * WIDTH
    queries, keys, out = every * TURNS, 2 * every * TILES, every
    assert attention(graph, frozenset()).dram_bytes == queries + keys + out
    assert attention(graph, frozenset({"query"})).dram_bytes == every + keys + out
    all_pinned = attention(graph, frozenset({"query", "key", "value"}))
    assert all_pinned.dram_bytes == 4 * every
    assert all_pinned.kept_bytes == (
        ROWS * COLUMNS * (4 + 1) + PARTIAL + 2 * TOKENS * DEPTH + ROWS * DEPTH
    )


def test_the_units_rescale_the_context_after_each_chunk() -> None:
    graph = kernels_of(layer(TOKENS, WIDTH, HEADS, 32))
    setting = Setting(graph=graph, accelerator=machine(2**20), inner=once)
    kernels = [kernel for kernel in graph.kernels if kernel.name in ATTENTION]
    whole = tiled_group(setting, kernels, Tile(rows=ROWS, by_head=True))
    assert whole is not None
    pinned = frozenset({"query", "key", "value"})
    apart = group_cost(setting, whole, setting.accelerator.levels[1], pinned - {"query"})
    turned = attention(graph, pinned)
    assert apart is not None
    unit = setting.accelerator.vector_unit
    assert unit is not None
    level = setting.accelerator.levels[1]
    runs = HEADS * TILES * TURNS
    rescaled = runs * (PARTIAL // 4 * unit.energy_pj["softmax"] + PARTIAL * level.read_pj_per_byte)
    # `once` charges the array alone: not how queries get into the level, nor how the result leaves.
    dram, every = setting.accelerator.levels[0], TOKENS * WIDTH
    moved = every * (dram.read_pj_per_byte + level.write_pj_per_byte + dram.write_pj_per_byte)
    assert turned.energy_pj == pytest.approx(apart.energy_pj + rescaled + moved, rel=1e-12)


def test_long_rows_that_have_no_room_go_by_columns() -> None:
    graph = kernels_of(layer(256, 64, 2, 64))
    kept = tuple(kernel for kernel in graph.kernels if kernel.name in ATTENTION)
    graph = dataclasses.replace(graph, kernels=kept, outputs=frozenset({"context"}))
    # 16 rows of 256 scores at 32 bit, and their softmax, take 20 KiB.
    setting = Setting(
        graph=graph, accelerator=machine(12 * 1024), inner=Searcher("energy", perfect=True)
    )
    found = choose(setting, "energy")
    assert isinstance(found, Fusion)
    (group,) = found.groups
    assert group.kernels == ATTENTION
    assert group.tile.columns is not None
    assert group.tile.columns < 256
