"""Random small models of families, the whole way: integers, schedules, the simulator's bits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.models.referees import REFEREES, saved

from inferstack.hardware.load import load_accelerator
from inferstack.optimize.result import Optimization
from inferstack.optimize.stack import Request, optimize
from inferstack.testing.checkpoints import word_tokenizer

from .conftest import SENTENCES

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
TEXT = " ".join(SENTENCES) * 8
FAMILIES = {"distilbert": "sentences", "mistral": "text", "qwen3": "text", "stablelm": "text"}
"""Padding, a sliding window, norms of heads, LayerNorm beside a gate and partial rotary heads."""


@pytest.mark.parametrize("name", FAMILIES)
def test_it_goes_the_whole_way(name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder = tmp_path / "model"
    saved(next(referee for referee in REFEREES if referee.name == name), folder)
    (folder / "tokenizer.json").write_text(json.dumps(word_tokenizer()), encoding="utf-8")
    request = Request(
        model=folder,
        accelerator=load_accelerator("gemmini"),
        seq_len=11,
        texts=SENTENCES if FAMILIES[name] == "sentences" else (TEXT,),
        calibration=None,
        pairs=None,
        objective="edp",
        checked=1,
        folder=tmp_path / "out",
    )
    result = optimize(request)
    assert isinstance(result, Optimization)
    assert result.task == FAMILIES[name]
    for decision in result.decisions:
        programs = [o for o in decision.operators if o.unit != "host"]
        assert decision.bit_exact_tensors == len(programs) > 20
    host = {o.kind for o in result.decisions[-1].operators if o.unit == "host"}
    assert host <= {"embedding", "position_embedding", "dequantize", "mean_pool"}
    assert result.decisions[-1].edp_pj_s < result.decisions[0].edp_pj_s / 100
