"""What groups cost with searched schedules inside, and what the choice looked at, pinned.

That bytes are those of the loops, and that the choice is the optimum, is held by `test_group.py`
and `test_choose.py`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.pinned import Pins, plain
from tests.slow import slow

from inferstack.core.infeasible import Infeasible
from inferstack.cost.groups.group import GroupCost, group_cost, tiled_group
from inferstack.cost.groups.setting import Setting
from inferstack.hardware.accelerator import Accelerator, Host
from inferstack.ir.graph import Graph
from inferstack.mapping.group import WHOLE
from inferstack.mapping.kernels import kernels_of
from inferstack.schedule.groups.choose import choose
from inferstack.schedule.plan import plan
from inferstack.schedule.searcher import Searcher

from .conftest import bottleneck, layer, machine
from .test_group import GROUPS, parts


def figures(cost: GroupCost | None) -> object:
    """What a group costs, and what of it each kernel is."""
    if cost is None:
        return None
    return [
        [cost.cycles, cost.work_cycles, cost.dram_cycles, cost.bound_by],
        [cost.energy_pj, cost.dram_bytes, cost.macs, cost.kept_bytes],
        [[p.kernel, list(p.chunk.values()), p.runs, p.inline] for p in cost.plans],
        [s.cost.cycles for s in cost.schedules],
    ]


@pytest.mark.parametrize("name", GROUPS)
def test_groups_with_searched_schedules(name: str, pinned: Pins) -> None:
    graph, names, tile = GROUPS[name]
    kernels_graph, kernels = parts(graph, names)
    found: dict[str, object] = {}
    for size in (2**12, 2**20):
        setting = Setting(
            graph=kernels_graph, accelerator=machine(size), inner=Searcher("edp", perfect=True)
        )
        for one in (tile, WHOLE, replace(tile, columns=1)):
            group = tiled_group(setting, kernels, one)
            if group is None:
                continue
            for pins in (frozenset[str](), frozenset(group.pinnable)):
                key = f"{size} {one.rows} {one.by_head} {one.columns} {len(pins)}"
                cost = group_cost(setting, group, setting.accelerator.levels[1], pins)
                found[key] = figures(cost)
    pinned(f"group_{name.replace(' ', '_')}", found)


def hosted() -> Accelerator:
    """The common target with a host for what its units do not compute."""
    made = machine(2**14)
    host = Host(cycles_per_element={"gelu": 2.5}, default_cycles_per_element=1.25, pj_per_cycle=3.0)
    assert made.vector_unit is not None
    passes = {k: v for k, v in made.vector_unit.passes.items() if k not in ("gelu", "layernorm")}
    return replace(made, host=host, vector_unit=replace(made.vector_unit, passes=passes))


@pytest.mark.parametrize("objective", ["energy", "edp", *slow(["latency", "dram_bytes"])])
def test_choices(objective: str, pinned: Pins) -> None:
    found: dict[str, object] = {}
    cases: dict[str, tuple[Graph, Accelerator]] = {
        "layer": (layer(32, 32, 2, 64), machine(2**13)),
        "a batch": (layer(12, 16, 4, 24, batch=2, kv_heads=2), machine(2**12)),
        "host": (layer(16, 16, 2, 32), hosted()),
        "bottleneck": (bottleneck(4, 12), machine(2**12)),
        "nothing kept": (layer(12, 16, 2, 24), replace(machine(2**12), forwards_to=())),
    }
    for name, (graph, accelerator) in cases.items():
        searcher = Searcher(objective, perfect=True)
        kernels = kernels_of(graph)
        setting = Setting(graph=kernels, accelerator=accelerator, inner=searcher)
        made = choose(setting, objective)
        assert not isinstance(made, Infeasible)
        whole = plan(kernels, accelerator, searcher)
        assert not isinstance(whole, Infeasible)
        found[name] = [
            [[g.kernels, g.level, plain(g.tile), g.pinned] for g in made.groups],
            [g.cycles for g in made.groups],
            [g.energy_pj for g in made.unfused],
            plain(made.proof),
            [plain(whole.totals), plain(whole.unfused)],
            [[r.name, r.kinds, r.times, plain(r.least), r.utilization] for r in whole.rows],
            [s.cost.cycles for s in whole.alone],
        ]
    pinned(f"choices_{objective}", plain(found))
