"""Vision towers against their classes in transformers: the hidden state, parameters, FLOPs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inferstack.analysis.convention import EXACT
from inferstack.analysis.count import count
from inferstack.ir.graph import TensorRole
from inferstack.models.hugging_face import load_graph
from inferstack.models.scenario import Scenario
from inferstack.ops.execute import execute

from .referees import VISION, Referee, saved

BEHIND = ("pooler.", "head.", "vision_model.head.", "post_layernorm", "vision_model.post_layernorm")
"""What stands behind the hidden state; CLIP's last norm is of the class token alone."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("referee", VISION, ids=lambda referee: referee.name)
def test_hidden_states_are_equal(referee: Referee, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    model = saved(referee, tmp_path)
    image = np.random.default_rng(2).normal(size=(2, 3, 24, 24)).astype(np.float32)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        answer = model(torch.from_numpy(image))
    graph, unused = load_graph(tmp_path, Scenario.encode(1, batch=2))
    assert all(name.startswith(BEHIND) for name in unused), unused
    (output,) = graph.outputs
    found = execute(graph, {"image": image})[output]
    np.testing.assert_allclose(found, answer.last_hidden_state.numpy(), rtol=1e-4, atol=1e-4)

    ours = sum(t.elements for t in graph.tensors.values() if t.role is TensorRole.WEIGHT)
    kept = {"siglip_vision_model": "post_layernorm"}.get(referee.model_type, "nothing")
    theirs = [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if kept in name or not name.startswith(BEHIND)
    ]
    assert ours == sum(parameter.numel() for _, parameter in theirs)
    kinds = ("conv2d", "matmul", "attention_scores", "attention_context")
    flops = sum(one.flops for one in count(graph, EXACT) if one.kind in kinds)
    assert flops <= counter.get_total_flops() <= 1.3 * flops
