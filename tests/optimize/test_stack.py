"""The stack of decisions on a tiny model: what each row is, that it adds up and can go on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from inferstack.compress.accuracy import embed
from inferstack.compress.artifact import load
from inferstack.core.errors import AcceleratorError, DataError, UnknownNameError
from inferstack.core.files import STAGES
from inferstack.core.infeasible import Infeasible
from inferstack.core.provenance import Claim
from inferstack.cost.cost import cost
from inferstack.hardware.accelerator import Control
from inferstack.hardware.area import with_capacities
from inferstack.hardware.load import load_accelerator
from inferstack.ir.graph import Work
from inferstack.mapping.mapping_file import load_mapping
from inferstack.models.data import Pairs
from inferstack.optimize.machines import with_swapped_memories, with_units
from inferstack.optimize.result import Optimization
from inferstack.optimize.schedules import (
    EXACT,
    FUSED,
    Schedules,
    Simulators,
    Step,
    not_worse,
    schedules_of,
)
from inferstack.optimize.stack import Request, optimize
from inferstack.optimize.stages import Stages
from inferstack.optimize.tasks.sentences import weakness
from inferstack.schedule.contraction import GREEDY
from inferstack.simulate.run import simulate_graph
from inferstack.simulate.support import check_simulable
from inferstack.testing.integer_graphs import IntegerGraph

from .conftest import SENTENCES

ROWS = [
    "baseline",
    "integer-only operators",
    "memory split",
    "optimal schedule",
    "fused schedule",
]


def optimized(request: Request) -> Optimization:
    """The result, which must be one."""
    result = optimize(request)
    assert isinstance(result, Optimization)
    return result


def test_five_rows_each_run_bit_for_bit(request_of_tiny: Request) -> None:
    result = optimized(request_of_tiny)
    assert [decision.name for decision in result.decisions] == ROWS
    assert [decision.accelerator for decision in result.decisions] == [
        "gemmini",
        "gemmini-ibert-256-64",
        *["gemmini-ibert"] * 3,
    ]
    assert (result.samples, result.calibration_samples, result.truncated) == (4, 3, 1)
    for decision in result.decisions:
        # Two sentences; every tensor that a program writes.
        programs = [o for o in decision.operators if o.unit != "host"]
        assert decision.bit_exact_tensors == 2 * len(programs)
        assert decision.cycles == sum(decision.cycles_by_work.values())
        for operator in decision.operators:
            assert sum(operator.cycles_by_work.values()) == operator.cycles
            assert all(cycles >= 0 for cycles in operator.cycles_by_work.values())


def test_the_baseline_quantizes_on_the_host_and_the_integer_rows_do_not(
    request_of_tiny: Request,
) -> None:
    first, second, *_ = optimized(request_of_tiny).decisions
    kinds = {o.kind for o in first.operators if o.unit == "host"}
    assert {"softmax", "layernorm", "gelu", "add", "quantize", "dequantize"} <= kinds
    assert all(o.claim is Claim.MODELLED for o in first.operators if o.unit == "host")
    assert {o.kind for o in second.operators if o.unit == "vector unit"} == {
        "softmax",
        "layernorm",
        "gelu",
        "add",
    }
    # Only the last hidden state is dequantized, for the pooling.
    assert [o.kind for o in second.operators if o.kind in ("quantize", "dequantize")] == [
        "dequantize"
    ]
    assert second.cycles < first.cycles


def test_searched_rows_have_certificates_and_gain(request_of_tiny: Request) -> None:
    *_, split, optimal, fused = optimized(request_of_tiny).decisions
    matmuls = [o for o in optimal.operators if o.macs]
    kept = optimal.kept_schedules
    assert all("proven optimal for edp" in o.certificate for o in matmuls if o.certificate)
    assert {o.name for o in matmuls if not o.certificate} == set(kept)
    assert all(o.certificate is None for o in split.operators)
    assert optimal.edp_pj_s <= split.edp_pj_s, "the better of both by simulation"
    assert fused.edp_pj_s <= optimal.edp_pj_s
    assert fused.cycles < optimal.cycles
    assert fused.dram_bytes < optimal.dram_bytes
    group = next(o for o in fused.operators if "layer0.gelu" in o.fused)
    assert set(group.cycles_by_work) == {Work.MATMUL, Work.ACTIVATION}
    assert group.mapping is not None
    assert "on the way out: layer0.gelu" in group.mapping


def test_the_integer_model_is_written_and_gives_the_measured_embeddings(
    request_of_tiny: Request,
) -> None:
    result = optimized(request_of_tiny)
    graph = load(request_of_tiny.folder)
    assert len(graph.operators) == sum(
        1 + len(operator.fused) for operator in result.decisions[-1].operators
    )
    mappings = [load_mapping(p)[0] for p in (request_of_tiny.folder / "mappings").iterdir()]
    statistics = json.loads((request_of_tiny.folder / "statistics.json").read_text())
    assert statistics["cycles"] == result.decisions[-1].cycles
    assert {(m.operator, m.fused) for m in mappings} == {
        (o.name, o.fused) for o in result.decisions[-1].operators if o.macs
    }
    assert all(Path(path).exists() for path in result.files.values())


def test_written_schedules_score_as_the_last_row_predicts(request_of_tiny: Request) -> None:
    result = optimized(request_of_tiny)
    machine = load_accelerator(result.decisions[-1].accelerator)
    predicted = {o.name: o.predicted_cycles for o in result.decisions[-1].operators if o.macs}
    scored = {}
    for path in (request_of_tiny.folder / "mappings").iterdir():
        mapping, wanted = load_mapping(path)
        scored[mapping.operator] = cost(mapping, wanted, machine).cycles
    assert scored == predicted


def test_pairs_add_a_rank_correlation(request_of_tiny: Request) -> None:
    pairs = Pairs(first=SENTENCES[:3], second=SENTENCES[3:6], scores=(1.0, 3.0, 2.0))
    result = optimized(dataclasses.replace(request_of_tiny, pairs=pairs))
    assert result.pairs == 3
    for decision in result.decisions:
        for key in ("spearman_float", "spearman_compressed"):
            assert -1 <= decision.quality.value(key) <= 1


def test_pairs_that_cannot_be_ranked_are_refused_before_any_work(request_of_tiny: Request) -> None:
    pairs = Pairs(first=SENTENCES[:2], second=SENTENCES[3:5], scores=(2.0, 2.0))
    with pytest.raises(DataError) as error:
        optimize(dataclasses.replace(request_of_tiny, pairs=pairs))
    assert str(error.value) == (
        "--eval: the pairs cannot be ranked; got 2 of one score, need at least two different scores"
    )
    assert not request_of_tiny.folder.exists()


def test_a_stopped_run_goes_on_where_it_was(
    request_of_tiny: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = optimized(dataclasses.replace(request_of_tiny, folder=request_of_tiny.folder / "a"))
    calls: list[int] = []

    def stopping(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return embed(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("inferstack.optimize.tasks.sentences.embed", stopping)
    with pytest.raises(KeyboardInterrupt):
        optimize(request_of_tiny)
    result = optimized(request_of_tiny)
    assert len(calls) == 4, "one stage was there: of three, two were computed, one twice"
    again = optimized(request_of_tiny)
    assert len(calls) == 4
    assert result.decisions == again.decisions == whole.decisions


def test_a_changed_method_is_not_taken_for_the_stage_that_is_there(
    request_of_tiny: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = optimized(request_of_tiny)
    # One exponent: the units of LayerNorm's and GELU's channels are no longer balanced.
    monkeypatch.setattr("inferstack.compress.balance.EXPONENTS", 1)
    after = optimized(request_of_tiny)
    fresh = optimized(dataclasses.replace(request_of_tiny, folder=request_of_tiny.folder / "new"))
    assert after.decisions[-1].quality == fresh.decisions[-1].quality
    assert after.decisions[-1].quality != before.decisions[-1].quality


def test_a_damaged_stage_is_computed_again(tmp_path: Path) -> None:
    stages = Stages(folder=tmp_path / STAGES)
    values = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(stages.array("x", "key", 2, lambda: values), values)
    (path,) = stages.folder.iterdir()
    path.write_bytes(path.read_bytes()[:90])
    assert np.array_equal(stages.array("x", "key", 2, lambda: values + 1), values + 1)
    assert np.array_equal(stages.array("x", "key", 2, lambda: values), values + 1)
    assert np.array_equal(stages.array("x", "another key", 2, lambda: values), values)
    # A whole array of another number of rows is not what was asked for.
    np.save(path, values[:1])
    assert np.array_equal(stages.array("x", "key", 2, lambda: values), values)


def test_the_machines_of_the_library_are_recognised() -> None:
    gemmini = load_accelerator("gemmini")
    units = with_units(gemmini)
    assert units == load_accelerator("gemmini-ibert-256-64")
    assert with_swapped_memories(units) == load_accelerator("gemmini-ibert")
    assert with_swapped_memories(load_accelerator("gemmini-ibert")) is None
    other = with_capacities(gemmini, {"scratchpad": 128 * 1024}, name="mine")
    assert with_units(other).name == "mine+units"
    assert with_units(units) is units


def test_a_machine_with_units_and_a_large_accumulator_has_no_row_for_them(
    request_of_tiny: Request,
) -> None:
    machine = load_accelerator("gemmini-ibert")
    result = optimized(dataclasses.replace(request_of_tiny, accelerator=machine))
    assert [decision.name for decision in result.decisions] == [r for r in ROWS if "split" not in r]


def test_memories_too_small_for_any_tile_say_what_would_help(request_of_tiny: Request) -> None:
    small = with_capacities(request_of_tiny.accelerator, {"accumulator": 1024}, name="small")
    found = optimize(dataclasses.replace(request_of_tiny, accelerator=small))
    assert isinstance(found, Infeasible)
    assert "accumulator of small" in found.resource
    assert found.demand > found.limit
    assert found.levers


def test_a_row_too_long_for_the_accumulator_is_no_schedule_either() -> None:
    made = IntegerGraph("wide")
    graph = made.build((made.layernorm("norm", made.input("x", (1, 4, 320))),))
    machine = with_capacities(
        load_accelerator("gemmini-ibert"), {"accumulator": 2048}, name="small"
    )
    step = Step(
        name="wide",
        description="",
        method="",
        graph=graph,
        accelerator=machine,
        schedule=GREEDY,
    )
    found = schedules_of(step, "edp")
    assert isinstance(found, Infeasible)
    # Half of 2 KiB for 320 sums of 4 bytes.
    assert found.message() == (
        "accumulator of small, one row of norm: does not fit; got a demand of 1,280 bytes, need at "
        "most 1,024 bytes\n\nhint: a larger accumulator; or no double buffering of accumulator"
    )
    assert schedules_of(dataclasses.replace(step, schedule=FUSED), "edp") == found


def test_what_the_simulator_cannot_run_is_said_before_any_work(request_of_tiny: Request) -> None:
    analytic = load_accelerator("survey-analytic")
    with pytest.raises(AcceleratorError) as error:
        optimize(dataclasses.replace(request_of_tiny, accelerator=analytic))
    assert str(error.value).startswith(
        "accelerator survey-analytic: the simulator has no instructions for these memories; got "
        "l2 (input, output, weight); scratchpad (input, weight); accumulator (output), need a "
        "scratchpad for input and weight, then an accumulator for the output"
    )
    with pytest.raises(UnknownNameError, match="did you mean 'energy'"):
        optimize(dataclasses.replace(request_of_tiny, objective="enrgy"))


def test_one_sentence_for_calibration_draws_a_warning() -> None:
    """Ranges of one sentence cut off what others need."""
    assert "one sentence alone calibrates" in (weakness(["a", "a"]) or "")
    assert weakness(["a", "b"]) is None


def test_a_machine_without_programs_is_not_simulated() -> None:
    fixed = dataclasses.replace(load_accelerator("gemmini"), control=Control.SEQUENCER)
    with pytest.raises(AcceleratorError, match="control: the simulator runs programs"):
        check_simulable(fixed)


def test_the_referee_takes_the_row_above_where_it_is_better_in_all() -> None:
    """Two layers, two rows: of each the better one, named, and never a worse sum."""
    made = IntegerGraph("pair")
    x = made.input("x", (1, 64, 64))
    first = made.linear("first", x, 64, 96, narrow=True)
    graph = made.build((made.linear("second", first, 96, 64),))
    step = Step(
        name="n", description="d", method="m", graph=graph,
        accelerator=load_accelerator("gemmini-ibert"), schedule=EXACT,
    )  # fmt: skip
    best = schedules_of(step, "latency")
    poor = schedules_of(dataclasses.replace(step, schedule=GREEDY), "latency")
    assert not isinstance(best, Infeasible)
    assert not isinstance(poor, Infeasible)
    simulator = Simulators().of(step.accelerator)

    def cycles(schedules: Schedules) -> int:
        mappings = {name: one.schedules[0].mapping for name, one in schedules.items()}
        return simulate_graph(graph, mappings, step.accelerator, simulator=simulator).cycles

    for row, above in ((best, poor), (poor, best)):
        taken, kept = not_worse(step, row, above, "latency", simulator)
        assert cycles(taken) <= min(cycles(row), cycles(above))
        for name in ("first", "second"):
            assert taken[name] == (above if name in kept else row)[name]
