"""Fusion of epilogues: the best of all prefixes, as the simulator runs it, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from tests.mapping.conftest import gemmini, whole_layer

from inferstack.core.infeasible import Infeasible
from inferstack.cost.programs.vector import vector_cost, vector_operator
from inferstack.hardware.load import load_accelerator
from inferstack.ir.graph import Graph
from inferstack.mapping.contraction import contraction
from inferstack.mapping.epilogue import epilogue_of, fusible_chain
from inferstack.schedule.epilogues import Group, best_fusion
from inferstack.schedule.operators import integer_contractions
from inferstack.schedule.tiles.optimum import OBJECTIVES, search
from inferstack.simulate.run import Simulator, simulate_graph, simulate_operator

MACHINES = ("gemmini-ibert-256-64", "gemmini-ibert")


def fused(graph: Graph, machine: str, objective: str) -> dict[str, Group]:
    """The groups, which must exist."""
    found = best_fusion(graph, load_accelerator(machine), objective)
    assert not isinstance(found, Infeasible)
    return dict(found)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "size", [(128, 384, 12, 1536), (512, 768, 12, 3072)], ids=["minilm", "base"]
)
def test_predicted_cycles_of_groups_and_of_vector_operators(
    size: tuple[int, int, int, int], machine: str
) -> None:
    """Within 10 %, mean within 2 %; energy within 2 % (tables of scales are left out)."""
    graph, accelerator = whole_layer(*size), load_accelerator(machine)
    operators = {operator.name: operator for operator in graph.operators}
    simulator, errors = Simulator(accelerator), []
    for objective in OBJECTIVES:
        for name, group in fused(graph, machine, objective).items():
            run = simulate_operator(graph, operators[name], group.mapping, accelerator, simulator)
            assert run.fused == group.epilogue.names
            errors.append(group.cost.cycles / run.cycles - 1)
            assert group.cost.energy_pj == pytest.approx(run.energy_pj, rel=0.02)
            for alone, cost in group.alone.items():
                run = simulate_operator(graph, operators[alone], None, accelerator, simulator)
                errors.append(cost.cycles / run.cycles - 1)
                assert cost.energy_pj == pytest.approx(run.energy_pj, rel=0.02)
    assert max(map(abs, errors)) < 0.10
    assert np.mean(np.abs(errors)) < 0.02


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("machine", MACHINES)
def test_the_choice_is_the_best_of_all_prefixes(machine: str, objective: str) -> None:
    graph, accelerator = whole_layer(64, 64, 2, 256), load_accelerator(machine)
    groups = fused(graph, machine, objective)
    for operator in integer_contractions(graph):
        chain = fusible_chain(graph, operator, accelerator)
        values = []
        for length in range(len(chain) + 1):
            costs = [vector_cost(vector_operator(graph, user), accelerator) for user in chain]
            alone = [cost for cost in costs[length:] if not isinstance(cost, Infeasible)]
            rest = (sum(c.cycles for c in alone), sum(c.energy_pj for c in alone))
            epilogue = epilogue_of(graph, operator, chain[:length])
            wanted = contraction(graph, operator)
            found = search(wanted, accelerator, objective, epilogue, rest=rest)
            if isinstance(found, Infeasible) or len(alone) < len(chain) - length:
                continue
            cycles = found.cost.cycles + rest[0]
            energy = found.cost.energy_pj + rest[1]
            moved = found.cost.dram_bytes + sum(c.dram_bytes for c in alone)
            values.append(
                {
                    "latency": cycles,
                    "energy": energy,
                    "edp": cycles * energy,
                    "dram_bytes": moved,
                }[objective]
            )
        assert groups[operator.name].value(objective) == pytest.approx(min(values), rel=1e-12)


def test_the_chains_of_an_encoder_layer() -> None:
    graph, machine = whole_layer(64, 64, 2, 256), load_accelerator("gemmini-ibert")
    chains = {
        operator.name: [user.name for user in fusible_chain(graph, operator, machine)]
        for operator in integer_contractions(graph)
    }
    assert chains == {
        "query": [],
        "key": [],
        "value": [],
        "scores": ["softmax"],
        "context": [],
        "output": ["add1", "norm1"],
        "ffn1": ["gelu"],
        "ffn2": ["add2", "norm2"],
    }
    host = gemmini()
    assert not any(fusible_chain(graph, operator, host) for operator in graph.operators)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("machine", MACHINES)
def test_every_fused_schedule_gives_the_reference_values(machine: str, objective: str) -> None:
    graph = whole_layer(40, 64, 2, 112)
    groups = fused(graph, machine, objective)
    assert any(group.epilogue.names for group in groups.values())
    schedules = {name: group.mapping for name, group in groups.items()}
    random = np.random.default_rng(1)
    feeds = {"x": random.integers(-127, 128, (3, 40, 64)).astype(np.int8)}
    run = simulate_graph(graph, schedules, load_accelerator(machine), feeds)
    away = sum(len(group.epilogue.names) for group in groups.values())
    assert run.checked == 3 * (len(graph.operators) - away)


def test_a_row_that_does_not_fit_stays_unfused() -> None:
    """16 rows of 384 columns take 24 KiB; half of the accumulator has 16, enough for LayerNorm."""
    graph, small = whole_layer(32, 384, 4, 384), gemmini("gemmini-ibert", accumulator=32 * 1024)
    groups = best_fusion(graph, small, "latency")
    assert not isinstance(groups, Infeasible)
    assert groups["output"].epilogue.kinds == ("add",)
    assert list(groups["output"].alone) == ["norm1"]
