"""A group's chunks and bytes, against its loops executed element by element."""

from __future__ import annotations

import pytest

from inferstack.cost.groups.bounds import floor
from inferstack.cost.groups.group import group_cost, tiled_group
from inferstack.cost.groups.setting import Setting
from inferstack.cost.groups.walk import walk
from inferstack.ir.graph import Graph
from inferstack.mapping.group import WHOLE, Tile
from inferstack.mapping.kernels import Kernel, KernelGraph, kernels_of

from .conftest import bottleneck, layer, machine, once, product
from .oracle import Needed, tiles

ATTENTION = ("scores", "softmax", "context")
GROUPS = {
    "attention by head": (layer(7, 8, 2, 12), ATTENTION, Tile(rows=3, by_head=True)),
    "attention by rows": (layer(7, 8, 2, 12), ATTENTION, Tile(rows=2, by_head=False)),
    "grouped heads": (layer(6, 8, 4, 8, kv_heads=2), ATTENTION, Tile(rows=4, by_head=True)),
    "a batch": (layer(5, 8, 2, 8, batch=2), ATTENTION, Tile(rows=2, by_head=True)),
    "query and scores": (
        layer(7, 8, 2, 12),
        ("query", "scores", "softmax"),
        Tile(rows=4, by_head=True),
    ),
    "keys made once": (
        layer(6, 8, 2, 8),
        ("query", "key", "value", *ATTENTION),
        Tile(rows=2, by_head=True),
    ),
    "feed-forward": (
        layer(7, 8, 2, 12),
        ("up", "gelu", "down", "add2", "norm2"),
        Tile(rows=3, by_head=False),
    ),
    "halo": (
        bottleneck(2, 7),
        ("conv0", "relu0", "conv1", "relu1", "conv2", "relu2"),
        Tile(rows=3, by_head=False),
    ),
    "halo of a stride": (
        bottleneck(2, 16, stride=2),
        ("conv0", "relu0", "conv1", "relu1"),
        Tile(rows=2, by_head=False),
    ),
    "weights as long as the batch": (
        layer(5, 4, 2, 8, batch=4),
        ("up", "gelu", "down"),
        Tile(rows=2, by_head=False),
    ),
    "a whole image": (
        bottleneck(2, 7),
        ("conv0", "relu0", "conv1", "relu1", "conv2", "relu2"),
        WHOLE,
    ),
    "all at once": (layer(5, 8, 2, 8, batch=2), ("scores", "softmax"), WHOLE),
}


def parts(graph: Graph, names: tuple[str, ...]) -> tuple[KernelGraph, list[Kernel]]:
    """The kernels of those names."""
    found = kernels_of(graph)
    by_name = {kernel.name: kernel for kernel in found.kernels}
    return found, [by_name[name] for name in names]


def heads_of(kernels: list[Kernel]) -> int:
    """Groups of heads."""
    return max(kernel.space.extents.get("g", 1) for kernel in kernels if kernel.contraction)


def largest(steps: list[Needed], kernel: str) -> int:
    """The most elements that a kernel makes in a tile."""
    return max(len(step.makes[kernel]) for step in steps)


@pytest.mark.parametrize("name", GROUPS)
def test_chunks_make_what_the_loops_need(name: str) -> None:
    """Rows in the padding of an image are made nowhere, so that edge tiles need less."""
    graph, names, tile = GROUPS[name]
    found, kernels = parts(graph, names)
    steps = list(tiles(found, kernels, tile, heads_of(kernels)))
    made = walk(kernels, found.shapes, tile)
    assert made is not None
    for kernel in kernels:
        size = product(tuple(made.chunks[kernel.name].values()))
        reduced = product(tuple(kernel.space.extents[d] for d in kernel.space.reductions))
        assert size // reduced == largest(steps, kernel.name), kernel.name


@pytest.mark.parametrize("pin", [False, True])
@pytest.mark.parametrize("name", [name for name in GROUPS if "halo" not in name])
def test_dram_bytes_are_those_of_the_loops(name: str, pin: bool) -> None:
    """Each tile reads what it needs from outside, pinned tensors where they change."""
    graph, names, tile = GROUPS[name]
    found, kernels = parts(graph, names)
    setting = Setting(graph=found, accelerator=machine(2**30), inner=once)
    group = tiled_group(setting, kernels, tile)
    assert group is not None
    pinned = frozenset(group.pinnable) if pin else frozenset()
    cost = group_cost(setting, group, setting.accelerator.levels[1], pinned)
    assert cost is not None
    steps = list(tiles(found, kernels, tile, heads_of(kernels)))
    assert cost.dram_bytes == _bytes(found, kernels, steps, pinned)


@pytest.mark.parametrize("name", [name for name in GROUPS if "halo" in name])
def test_halos_are_read_again(name: str) -> None:
    """Tiles at the edge count as those in the middle, rows of padding included; columns are not."""
    graph, names, tile = GROUPS[name]
    found, kernels = parts(graph, names)
    setting = Setting(graph=found, accelerator=machine(2**30), inner=once)
    group = tiled_group(setting, kernels, tile)
    assert group is not None
    cost = group_cost(setting, group, setting.accelerator.levels[1], frozenset())
    assert cost is not None
    steps = list(tiles(found, kernels, tile, 1))
    exact = _bytes(found, kernels, steps, frozenset())
    edges = 2 * max(len(index) for step in steps for index in step.reads.values())
    assert exact <= cost.dram_bytes <= exact + edges


def _bytes(
    graph: KernelGraph, kernels: list[Kernel], steps: list[Needed], pinned: frozenset[str]
) -> int:
    """DRAM traffic of the loops: a kernel that makes the same again is not run again."""
    made = {kernel.writes.tensor for kernel in kernels}
    bits, last_make = 0, dict[str, object]()
    held: dict[str, object] = {}
    for step in steps:
        for tensor in pinned:
            users = [k for k in kernels if any(p.tensor == tensor for p in k.reads)]
            wanted = frozenset().union(*(step.reads[k.name, tensor] for k in users))
            if held.get(tensor) != wanted:
                bits += len(wanted) * users[0].port(tensor).bits
                held[tensor] = wanted
        for kernel in kernels:
            if last_make.get(kernel.name) == step.makes[kernel.name]:
                continue
            last_make[kernel.name] = step.makes[kernel.name]
            for port in kernel.reads:
                if port.tensor not in made and port.tensor not in pinned:
                    bits += len(step.reads[kernel.name, port.tensor]) * port.bits
            tensor = kernel.writes.tensor
            inside = [k for k in kernels if any(p.tensor == tensor for p in k.reads)]
            if len(graph.readers(tensor)) > len(inside) or tensor in graph.outputs:
                bits += len(step.makes[kernel.name]) * kernel.writes.bits
    return bits // 8


def test_a_group_that_has_room_moves_what_it_must() -> None:
    graph, kernels = parts(layer(16, 16, 2, 32), ("up", "gelu", "down", "add2", "norm2"))
    setting = Setting(graph=graph, accelerator=machine(2**30), inner=once)
    group = tiled_group(setting, kernels, WHOLE)
    assert group is not None
    pinned = frozenset(group.pinnable)
    cost = group_cost(setting, group, setting.accelerator.levels[1], pinned)
    assert cost is not None
    assert pinned == {"norm1"}
    assert cost.dram_bytes == floor(setting, kernels).dram_bytes == 2 * 16 * 16 + 2 * 16 * 32


def test_what_is_kept_must_fit() -> None:
    graph, kernels = parts(layer(32, 64, 2, 64), ATTENTION)
    tile = Tile(rows=16, by_head=True)
    # Scores of 16 rows at 32 bit, and beside them, as softmax works, their int8 result.
    kept = 16 * 32 * 4 + 16 * 32
    for size, fits in ((kept - 1, False), (kept, True)):
        setting = Setting(graph=graph, accelerator=machine(size), inner=once)
        group = tiled_group(setting, kernels, tile)
        assert group is not None
        level = setting.accelerator.levels[1]
        assert group.fits(level, frozenset()) is fits
        cost = group_cost(setting, group, level, frozenset())
        assert (cost is not None) is fits
        if cost is not None:
            assert cost.kept_bytes == kept
