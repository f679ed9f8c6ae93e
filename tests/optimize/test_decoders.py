"""Decoders the whole way: integers, units, schedules, and every bit that the simulator computes."""

from __future__ import annotations

import dataclasses

import pytest

from inferstack.core.progress import silent
from inferstack.hardware.load import load_accelerator
from inferstack.optimize.machines import with_units
from inferstack.optimize.result import Decision, Optimization
from inferstack.optimize.stack import Request, optimize
from inferstack.testing.checkpoints import tiny_llama

TEXT = "the cat sat on the mat, and a dog ran very far. " * 12
UNITS = {"rmsnorm", "silu", "multiply", "rotary", "softmax", "add"}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Optimization:
    """A tiny Llama on Gemmini."""
    folder = tmp_path_factory.mktemp("decoder")
    request = Request(
        model=tiny_llama(folder / "tiny").write(),
        accelerator=load_accelerator("gemmini"),
        seq_len=16,
        texts=(TEXT,),
        calibration=None,
        pairs=None,
        objective="edp",
        checked=1,
        folder=folder / "out",
    )
    found = optimize(request, silent)
    assert isinstance(found, Optimization)
    return found


def units(decision: Decision) -> set[str]:
    return {operator.kind for operator in decision.operators if operator.unit == "vector unit"}


def test_each_row_runs_bit_for_bit_on_a_machine_with_a_decoders_units(
    result: Optimization,
) -> None:
    assert [decision.accelerator for decision in result.decisions] == [
        "gemmini",
        "gemmini-decoder-256-64",
        *["gemmini-decoder"] * 3,
    ]
    for decision in result.decisions:
        programs = [o for o in decision.operators if o.unit != "host"]
        assert decision.bit_exact_tensors == len(programs)
    first, second, *_ = result.decisions
    assert not units(first)
    assert units(second) == UNITS
    host = {o.kind for o in second.operators if o.unit == "host"}
    assert host == {"embedding", "dequantize"}, "words in, logits out"
    assert second.cycles < first.cycles / 5


def test_what_follows_a_matmul_is_computed_on_its_way_out(result: Optimization) -> None:
    fused = {o.name: o.fused for o in result.decisions[-1].operators if o.fused}
    assert fused["layer0.gate"] == ("layer0.silu",)
    assert fused["layer0.query"] == ("layer0.query_rotary",)
    assert fused["layer0.scores"] == ("layer0.softmax",)
    assert result.decisions[-1].edp_pj_s < result.decisions[-2].edp_pj_s


def test_integers_foretell_the_text_about_as_well(result: Optimization) -> None:
    assert (result.task, result.unit) == ("text", "windows of 16 tokens")
    for decision in result.decisions:
        assert abs(decision.quality.value("perplexity_change")) < 0.05
        assert decision.quality.value("same_likeliest_token") > 0.8


def test_units_are_those_that_the_model_needs() -> None:
    gemmini = load_accelerator("gemmini")
    assert with_units(gemmini, {"layernorm", "gelu"}).name == "gemmini-ibert-256-64"
    assert with_units(gemmini, {"layernorm", "silu"}).name == "gemmini-decoder-256-64"
    bare = dataclasses.replace(load_accelerator("gemmini-ibert"), vector_unit=None, name="mine")
    lent = with_units(bare, {"rotary"})
    assert lent.supports("rmsnorm")
    assert lent.sources["vector_unit.kinds.silu.passes"].text.startswith("element by element")
