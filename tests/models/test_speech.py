"""Whisper against its class in transformers: both stacks, and decoding with the caches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inferstack.analysis.convention import Mask, convention_named
from inferstack.analysis.count import count
from inferstack.ir.graph import TensorRole
from inferstack.models.decoder import CROSS, LOGITS, caches_of
from inferstack.models.hugging_face import load_graph
from inferstack.models.scenario import Phase, Scenario
from inferstack.ops.execute import execute

from .dense_decoders import VOCABULARY
from .referees import SPEECH, saved

PLACES, TARGET = 9, 6


def scenario(new: int, context: int = 0) -> Scenario:
    phase = Phase.DECODE if context else Phase.PREFILL
    return Scenario(
        phase=phase, batch=2, new_tokens=new, context_tokens=context, source_tokens=PLACES
    )


@pytest.mark.filterwarnings("ignore")
def test_both_stacks_are_equal(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    model = saved(SPEECH, tmp_path)
    generator = np.random.default_rng(4)
    signal = generator.normal(size=(2, 6, 2 * PLACES)).astype(np.float32)
    ids = generator.integers(3, VOCABULARY, (2, TARGET))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        answer = model(
            input_features=torch.from_numpy(signal), decoder_input_ids=torch.from_numpy(ids)
        )
    encoder, _ = load_graph(tmp_path, Scenario.encode(PLACES, batch=2))
    (output,) = encoder.outputs
    source = execute(encoder, {"signal": signal[:, :, None]})[output]
    theirs = answer.encoder_last_hidden_state.numpy()
    np.testing.assert_allclose(source, theirs, rtol=1e-4, atol=1e-4)

    decoder, _ = load_graph(tmp_path, scenario(TARGET))
    given = {"source": source, "source_mask": np.ones((2, PLACES), dtype=np.int64)}
    found = execute(decoder, {"ids": ids, **given})[LOGITS]
    np.testing.assert_allclose(found, answer.logits.numpy(), rtol=1e-4, atol=1e-4)

    first, _ = load_graph(tmp_path, scenario(4))
    results = execute(first, {"ids": ids[:, :4], **given})
    caches = caches_of(first, results)
    crossed = {name: values for name, values in caches.items() if CROSS in name}
    step, _ = load_graph(tmp_path, scenario(1, 4))
    feeds = {"ids": ids[:, 4:5], "source_mask": given["source_mask"], **crossed, **caches}
    np.testing.assert_allclose(execute(step, feeds)[LOGITS], found[:, 4:5], rtol=1e-4, atol=1e-4)

    sizes = {
        tensor.name: tensor.elements
        for graph in (encoder, decoder)
        for tensor in graph.tensors.values()
        if tensor.role is TensorRole.WEIGHT
    }
    assert sum(sizes.values()) == model.num_parameters()
    kinds = ("conv2d", "matmul", "attention_scores", "attention_context")
    whole = convention_named("exact", mask=Mask.FULL)
    ours = [one for graph in (encoder, decoder) for one in count(graph, whole) if one.kind in kinds]
    assert sum(one.flops for one in ours) == counter.get_total_flops()
