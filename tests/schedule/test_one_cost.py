"""One mapping, one cost: what a search writes down re-scores to the same integers."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from inferstack.api.model import load
from inferstack.core.errors import MappingError
from inferstack.core.infeasible import Infeasible
from inferstack.core.yaml import read_yaml
from inferstack.cost.cost import cost
from inferstack.cost.groups.group import GroupCost
from inferstack.cost.groups.scored import scored_group
from inferstack.cost.scheduled import Scheduled
from inferstack.hardware.accelerator import Accelerator, Axis, FanOut, Role
from inferstack.hardware.load import load_accelerator
from inferstack.hardware.names import library_names
from inferstack.mapping.chain import chained
from inferstack.mapping.group_file import is_group, load_group
from inferstack.mapping.kernels import KernelGraph, kernels_of
from inferstack.mapping.mapping_file import load_mapping, mapping_text
from inferstack.mapping.shapes import matmul
from inferstack.report.plan import mapping_texts
from inferstack.schedule.nests.optimum import optimum
from inferstack.schedule.plan import ModelPlan, plan
from inferstack.schedule.searcher import Searcher
from inferstack.schedule.tiles.optimum import search

MODELS = {
    "bert-base": ("bert-base", None, 32),
    "gpt2 prefill": ("gpt2", "prefill", 32),
    "gpt2 decode": ("gpt2", "decode", 64),
    "llama decode": ("tinyllama-1.1b", "decode", 64),
}


@cache
def kernels(name: str) -> KernelGraph:
    """The kernels of one of the models, one layer of each kind."""
    named, phase, tokens = MODELS[name]
    return kernels_of(load(named).graph(tokens, phase=phase, batch=1))


def planned(name: str, machine: Accelerator, objective: str, *, fuse: bool) -> ModelPlan | None:
    """The plan, as fast as it can be; None where the machine has no room for a row."""
    searcher = Searcher(objective, perfect=True, budget_s=0.0)
    found = plan(kernels(name), machine, searcher, fuse=fuse)
    return None if isinstance(found, Infeasible) else found


def rescored(text: str, path: Path, machine: Accelerator) -> tuple[int, float, int]:
    """(cycles, pJ, bytes of DRAM) of a file."""
    path.write_text(text, encoding="utf-8")
    if is_group(read_yaml(path, MappingError)):
        group, graph = load_group(path)
        found = scored_group(group, graph, machine)
        return found.cycles, found.energy_pj, found.dram_bytes
    mapping, contraction = load_mapping(path)
    one = cost(mapping, contraction, machine)
    return one.cycles, one.energy_pj, one.dram_bytes


def figures(group: GroupCost) -> tuple[int, float, int]:
    """(cycles, pJ, bytes of DRAM) of a row."""
    return group.cycles, group.energy_pj, group.dram_bytes


def check(found: ModelPlan, machine: Accelerator, folder: Path) -> int:
    """How many files were written, each equal to its row."""
    texts = mapping_texts(found)
    rows = {row.cost.kernels[0]: row.cost for row in found.rows if row.cost.schedules}
    assert set(texts) == set(rows)
    for name, text in texts.items():
        assert rescored(text, folder / "m.yaml", machine) == figures(rows[name]), name
    return len(texts)


@pytest.mark.parametrize("fuse", [False, True], ids=["alone", "fused"])
@pytest.mark.parametrize("machine", ["peers-target", "gemmini-ibert", "tpu-v1"])
def test_files_of_an_encoder_score_as_the_plan_says(
    machine: str, fuse: bool, tmp_path: Path
) -> None:
    target = load_accelerator(machine)
    found = planned("bert-base", target, "edp", fuse=fuse)
    assert found is not None
    assert check(found, target, tmp_path)
    if fuse:
        assert any(len(row.cost.kernels) > 1 for row in found.rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("machine", library_names())
def test_files_of_every_model_on_every_machine_score_as_the_plan_says(
    machine: str, name: str, tmp_path: Path
) -> None:
    target = load_accelerator(machine)
    checked = 0
    for fuse in (False, True):
        found = planned(name, target, "latency" if fuse else "energy", fuse=fuse)
        if found is not None:
            checked += check(found, target, tmp_path)
    assert checked


def test_operands_that_start_on_the_chip_take_their_room(tmp_path: Path) -> None:
    """32 MiB that a neighbour left do not fit 256 KiB, whatever tile is taken of them."""
    target = load_accelerator("peers-target")
    wanted = matmul(m=4096, n=16, k=8192)
    left = tuple(
        replace(operand, origin="scratchpad") if operand.role is Role.INPUT else operand
        for operand in wanted.operands
    )
    found = optimum(replace(wanted, operands=left), target, "energy")
    assert isinstance(found, Infeasible)
    assert found.resource.startswith("scratchpad of peers-target")


def test_the_array_is_full_at_all_its_instances_and_no_fuller() -> None:
    """Six elements below the scratchpad: 768 MACs in 192 cycles are two thirds of their peak."""
    one = load_accelerator("peers-target")
    array = replace(one.array, rows=1, columns=1)
    axis = Axis(name="pe", size=6, dims=("n", "m", "k"))
    six = replace(one, array=array, fan_outs=(FanOut(below="scratchpad", axes=(axis,)),))
    assert six.instances == six.peak_macs_per_cycle == 6
    found = optimum(matmul(m=12, n=8, k=8), six, "latency")
    assert isinstance(found, Scheduled)
    assert found.cost.cycles >= 768 / 6


def test_the_fill_of_the_array_is_in_every_figure() -> None:
    """A fill that nobody can miss: in the plan's row, its total and the score."""
    one = load_accelerator("peers-target")
    slow = replace(one, array=replace(one.array, fill_cycles=100_000))
    found = planned("bert-base", slow, "latency", fuse=False)
    plain = planned("bert-base", one, "latency", fuse=False)
    assert found is not None
    assert plain is not None
    contractions = sum(k.repeats for k in kernels("bert-base").kernels if k.contraction)
    assert found.totals.cycles == plain.totals.cycles + 100_000 * contractions


def test_a_fused_operator_of_a_file_is_in_its_score(tmp_path: Path) -> None:
    """GELU on the way out costs energy; without its entry the file is another one."""
    machine = load_accelerator("gemmini-ibert")
    head, gelu = (
        next(k for k in kernels("bert-base").kernels if k.kind == kind and "layer0" in k.name)
        for kind in ("matmul", "gelu")
    )
    inner = next(k for k in kernels("bert-base").kernels if k.writes.tensor == gelu.reads[0].tensor)
    assert inner.kind == head.kind
    both, alone = search(chained(inner, (gelu,)), machine), search(chained(inner, ()), machine)
    assert isinstance(both, Scheduled)
    assert isinstance(alone, Scheduled)
    text = mapping_text(both.mapping, both.contraction)
    assert rescored(text, tmp_path / "m.yaml", machine)[1] == both.cost.energy_pj
    assert both.cost.energy_pj != alone.cost.energy_pj


@pytest.mark.slow
@pytest.mark.parametrize("machine", library_names())
def test_files_of_a_resnet_score_as_the_plan_says(machine: str, tmp_path: Path) -> None:
    target, searcher = load_accelerator(machine), Searcher("energy", perfect=True, budget_s=0.0)
    found = plan(kernels_of(load("resnet50").graph()), target, searcher, fuse=False)
    assert isinstance(found, ModelPlan)
    assert check(found, target, tmp_path) >= 20
