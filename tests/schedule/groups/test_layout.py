"""What a group keeps, hands out and shares, counted by hand for small layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from inferstack.core.errors import InputError
from inferstack.cost.groups.group import fusible, tiled_group
from inferstack.cost.groups.setting import Setting
from inferstack.hardware.accelerator import Missing
from inferstack.hardware.load import load_accelerator
from inferstack.ir.graph import Graph
from inferstack.mapping.group import WHOLE, Tile
from inferstack.mapping.kernels import Kernel, kernels_of

from .conftest import layer, machine, once

ATTENTION = ("scores", "softmax", "context")
SMALL = layer(7, 8, 2, 12)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """chains: kernels in each. live: bytes kept while each works."""

    chains: tuple[int, ...]
    stays: tuple[str, ...]
    leaves: tuple[str, ...]
    live: tuple[int, ...]
    outside: dict[str, int]
    pinnable: tuple[str, ...]
    partial: int = 0


CASES: dict[str, tuple[Graph, tuple[str, ...], Tile, Kept]] = {
    # 3 rows of 7 scores at 32 bit, and their probabilities at 8.
    "attention": (
        SMALL,
        ATTENTION,
        Tile(rows=3, by_head=True),
        Kept(
            chains=(1, 1, 1),
            stays=("scores", "softmax"),
            leaves=("context",),
            live=(84, 84 + 21, 21),
            outside={"query": 3 * 4, "key": 7 * 4, "value": 7 * 4},
            pinnable=("key", "value"),
        ),
    ),
    # The keys of a head outlast its tiles of rows.
    "keys made inside": (
        SMALL,
        ("query", "key", "scores", "softmax"),
        Tile(rows=3, by_head=True),
        Kept(
            chains=(1, 1, 1, 1),
            stays=("query", "key", "scores"),
            leaves=("softmax",),
            live=(12, 12 + 28, 12 + 28 + 84, 28 + 84),
            outside={"x": 7 * 8, "query.w": 8 * 4, "key.w": 8 * 4},
            pinnable=("query.w", "x"),
        ),
    ),
    # GELU and the sum go on the way out of the matmuls in front of them.
    "feed-forward": (
        SMALL,
        ("up", "gelu", "down", "add2", "norm2"),
        Tile(rows=3, by_head=False),
        Kept(
            chains=(2, 2, 1),
            stays=("gelu", "add2"),
            leaves=("norm2",),
            live=(3 * 12, 3 * 12 + 3 * 8 * 4, 3 * 8 * 4),
            outside={"norm1": 3 * 8, "up.w": 8 * 12, "down.w": 12 * 8},
            pinnable=("norm1", "down.w", "up.w"),
        ),
    ),
    # A result that stays, and that a kernel outside of the group reads too.
    "a result for somebody else": (
        SMALL,
        ("output", "add1", "norm1", "up"),
        Tile(rows=2, by_head=False),
        Kept(
            chains=(2, 1, 1),
            stays=("add1", "norm1"),
            leaves=("norm1", "up"),
            live=(2 * 8 * 4, 2 * 8 * 4 + 2 * 8, 2 * 8),
            outside={"context": 2 * 8, "output.w": 8 * 8, "x": 2 * 8, "up.w": 8 * 12},
            pinnable=("output.w", "up.w"),
        ),
    ),
    # Two columns of 4 rows at a time; the context with two statistics a row, at 32 bit.
    "columns": (
        layer(8, 8, 2, 12),
        ATTENTION,
        Tile(rows=4, by_head=True, columns=2),
        Kept(
            chains=(1, 1, 1),
            stays=("scores", "softmax"),
            leaves=("context",),
            live=(32 + 96, 32 + 8 + 96, 8 + 96),
            outside={"query": 4 * 4, "key": 8 * 4, "value": 8 * 4},
            pinnable=("query", "key", "value"),
            partial=4 * (4 + 2) * 4,
        ),
    ),
    # Weights of an entry of the batch are those of all; one tile has nothing to outlast.
    "a batch": (
        layer(5, 4, 2, 8, batch=4),
        ("up", "gelu", "down"),
        Tile(rows=2, by_head=False),
        Kept(
            chains=(2, 1),
            stays=("gelu",),
            leaves=("down",),
            live=(16, 16),
            outside={"norm1": 8, "up.w": 32, "down.w": 32},
            pinnable=("down.w", "up.w"),
        ),
    ),
    "all at once": (
        SMALL,
        ("up", "gelu", "down"),
        WHOLE,
        Kept(
            chains=(2, 1),
            stays=("gelu",),
            leaves=("down",),
            live=(7 * 12, 7 * 12),
            outside={"norm1": 7 * 8, "up.w": 96, "down.w": 96},
            pinnable=(),
        ),
    ),
}


def setting_of(graph: Graph) -> Setting:
    """A roomy machine."""
    return Setting(graph=kernels_of(graph), accelerator=machine(2**30), inner=once)


def kernels_in(setting: Setting, names: tuple[str, ...]) -> list[Kernel]:
    """The kernels of those names."""
    by_name = {kernel.name: kernel for kernel in setting.graph.kernels}
    return [by_name[name] for name in names]


@pytest.mark.parametrize("name", CASES)
def test_what_is_kept_and_what_leaves(name: str) -> None:
    graph, names, tile, kept = CASES[name]
    setting = setting_of(graph)
    group = tiled_group(setting, kernels_in(setting, names), tile)
    assert group is not None
    made = group.passes[0].layout
    assert tuple(end - start for start, end in made.chains) == kept.chains
    assert tuple(n for n, yes in zip(names, made.stays, strict=True) if yes) == kept.stays
    assert tuple(n for n, yes in zip(names, made.leaves, strict=True) if yes) == kept.leaves
    assert made.live_bytes == kept.live
    assert made.sizes == kept.outside
    assert made.pinnable == group.pinnable == kept.pinnable
    assert made.partial_bytes == kept.partial
    pins = frozenset(kept.pinnable)
    assert made.most_bytes(pins) == max(kept.live) + sum(kept.outside[pin] for pin in pins)
    assert group.keeps_results


@pytest.mark.parametrize(
    ("names", "pinned", "connected"),
    [
        (("query",), (), True),
        (ATTENTION, (), True),
        (("query", "key", "scores"), (), True),
        (("query", "key"), (), False),
        (("query", "key"), ("query.w",), False),
        (("query", "key"), ("x",), True),
        (("query", "key", "value"), ("x",), True),
        (("query", "scores", "value"), (), False),
        (("query", "scores", "value"), ("x",), True),
        (("query", "key", "value", "scores"), (), False),
        (("up", "gelu", "down"), (), True),
        (("up", "gelu", "norm2"), (), False),
    ],
)
def test_a_group_hangs_together_by_results_or_by_pinned_tensors(
    names: tuple[str, ...], pinned: tuple[str, ...], connected: bool
) -> None:
    setting = setting_of(SMALL)
    group = tiled_group(setting, kernels_in(setting, names), WHOLE)
    assert group is not None
    assert group.is_connected(frozenset(pinned)) is connected


def test_a_group_of_equals_keeps_no_results() -> None:
    setting = setting_of(SMALL)
    for names, keeps in ((("query", "key"), False), (("up", "gelu"), False), (ATTENTION, True)):
        group = tiled_group(setting, kernels_in(setting, names), WHOLE)
        assert group is not None
        assert group.keeps_results is keeps


def test_kernels_share_tiles_where_they_repeat_alike_and_nothing_is_on_the_host() -> None:
    setting = setting_of(SMALL)
    contractions = kernels_in(setting, ("query", "key"))
    active = kernels_in(setting, ("up", "gelu", "down"))
    often = [replace(kernel, repeats=6) for kernel in active]
    assert fusible(setting, contractions)
    assert fusible(setting, active)
    assert fusible(setting, often)
    assert not fusible(setting, [*often[:2], active[2]])
    hosted = replace(setting, accelerator=load_accelerator("gemmini"))
    assert fusible(hosted, contractions)
    assert not fusible(hosted, active)
    assert not fusible(hosted, [*often[:2], active[2]])


def test_a_kind_that_neither_unit_nor_host_computes() -> None:
    setting = setting_of(SMALL)
    bare = load_accelerator("gemmini")
    bare = replace(bare, host=Missing("gemmini", "host"), vector_unit=None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="neither a unit nor a host for it; got gelu"):
        fusible(replace(setting, accelerator=bare), kernels_in(setting, ("up", "gelu")))
