"""The times of `analyze` are the bounds that `map` puts its schedules over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import inferstack as ist
from inferstack.analysis.convention import EXACT
from inferstack.analysis.workload import Task, find_model, workloads
from inferstack.cost.least import least_times, workload_times
from inferstack.hardware.load import load_accelerator
from inferstack.hardware.names import library_names

SIZES: dict[str, dict[str, Any]] = {
    "minilm-l6": {"seq_len": 16},
    "gpt2": {"seq_len": 16, "phase": "decode"},
}


@pytest.mark.parametrize("model", SIZES)
@pytest.mark.parametrize("machine", library_names())
def test_every_row_of_a_plan_is_bound_by_the_times_of_its_operators(
    machine: str, model: str
) -> None:
    sizes = SIZES[model]
    graph = ist.load(model).graph(**sizes)
    times = least_times(graph, load_accelerator(machine), EXACT)
    least = {time.name: time.cycles / time.repeats for time in times}
    rows = ist.load(model).map(machine, fuse=False, perfect=True, **sizes).to_dict()["rows"]
    for row in rows:
        (first, *_), *_ = row["groups"]
        assert row["bound_cycles"] == least[first]
        assert row["cycles"] >= least[first]


@pytest.mark.parametrize(("model", "tokens"), [("gpt2", 150), ("mistral-7b", 40)])
def test_a_generation_is_the_sum_of_its_steps(model: str, tokens: int) -> None:
    """To a cycle a step, as every step is rounded up to whole cycles."""
    machine = load_accelerator("survey-analytic")
    found_model = find_model(model)
    if model == "mistral-7b":
        (layer, *_), depth = found_model.config.layers, len(found_model.config.layers)
        near = replace(layer, attention=replace(layer.attention, window=9))
        config = replace(found_model.config, layers=(near,) * depth)
        found_model = replace(found_model, config=config)
    (workload,) = workloads(found_model, lengths=(tokens,), task=Task.GENERATE)
    found = workload_times(workload, machine, EXACT)
    steps = [least_times(workload.step(context), machine, EXACT) for context in range(tokens)]
    for index, time in enumerate(found):
        assert time.flops == sum(each[index].flops for each in steps)
        every = sum(each[index].cycles for each in steps)
        assert abs(time.cycles - every) <= tokens * time.repeats
    whole = sum(time.cycles for each in steps for time in each)
    assert sum(time.cycles for time in found) == pytest.approx(whole, rel=1e-3)
