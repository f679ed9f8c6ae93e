"""Encoder-decoders against their classes in transformers: states, logits, caches, FLOPs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.analysis.convention import Mask, convention_named
from inferstack.analysis.count import count
from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.decoder import CROSS, LOGITS, caches_of
from inferstack.models.hugging_face import load_graph
from inferstack.models.scenario import Phase, Scenario
from inferstack.ops.execute import execute

from .dense_decoders import VOCABULARY
from .referees import TWO_STACKS, Referee, learned_buffers, saved

Array = npt.NDArray[Any]
SOURCE, LENGTHS, TARGET = 9, (9, 6), 7

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.parametrize("referee", TWO_STACKS, ids=lambda referee: referee.name),
]


def scenario(new: int, context: int = 0, *, decode: bool = False, batch: int = 2) -> Scenario:
    phase = Phase.DECODE if decode else Phase.PREFILL
    return Scenario(
        phase=phase, batch=batch, new_tokens=new, context_tokens=context, source_tokens=SOURCE
    )


def sentences() -> tuple[Array, Array, Array]:
    """Source ids and mask, filled up with 1; target ids."""
    generator = np.random.default_rng(5)
    ids = generator.integers(3, VOCABULARY, (2, SOURCE))
    mask = np.array([[int(at < length) for at in range(SOURCE)] for length in LENGTHS])
    return np.where(mask, ids, 1), mask, generator.integers(3, VOCABULARY, (2, TARGET))


def weights_of(*graphs: Graph) -> int:
    """Parameters of both stacks, shared ones once."""
    found = {
        name: graph.tensors[name].elements
        for graph in graphs
        for operator in graph.operators
        for name in operator.inputs.values()
        if graph.tensors[name].role is TensorRole.WEIGHT
    }
    return sum(found.values())


def test_both_stacks_are_equal(referee: Referee, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    model = saved(referee, tmp_path)
    ids, mask, target = sentences()
    given = {name: torch.from_numpy(a) for name, a in (
        ("input_ids", ids), ("attention_mask", mask), ("decoder_input_ids", target)
    )}  # fmt: skip
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        answer = model(**given)

    encoder, _ = load_graph(tmp_path, Scenario.encode(SOURCE, batch=2))
    (output,) = encoder.outputs
    source = execute(encoder, {"ids": ids, "mask": mask})[output]
    seen = mask.astype(bool)
    theirs = answer.encoder_last_hidden_state.numpy()
    np.testing.assert_allclose(source[seen], theirs[seen], rtol=1e-4, atol=1e-4)

    decoder, _ = load_graph(tmp_path, scenario(TARGET))
    feeds = {"ids": target, "source": source, "source_mask": mask}
    found = execute(decoder, feeds)
    np.testing.assert_allclose(found[LOGITS], answer.logits.numpy(), rtol=1e-4, atol=1e-4)

    buffers = sum(buffer.numel() for _, buffer in learned_buffers(model))
    positions = [p for n, p in model.named_parameters() if "embed_positions" in n]
    table = encoder.tensors.get("embedding.position")
    is_computed = table is not None and table.role is TensorRole.CONSTANT
    computed = sum(p.numel() for p in positions) if is_computed else 0
    assert weights_of(encoder, decoder) + computed == model.num_parameters() + buffers

    kinds = ("matmul", "attention_scores", "attention_context")
    whole = convention_named("exact", mask=Mask.FULL)
    ours = [one for graph in (encoder, decoder) for one in count(graph, whole) if one.kind in kinds]
    assert sum(one.flops for one in ours) == counter.get_total_flops()


def test_decoding_with_the_caches_is_equal(referee: Referee, tmp_path: Path) -> None:
    saved(referee, tmp_path)
    ids, mask, target = sentences()
    encoder, _ = load_graph(tmp_path, Scenario.encode(SOURCE, batch=2))
    (output,) = encoder.outputs
    source = execute(encoder, {"ids": ids, "mask": mask})[output]
    whole, _ = load_graph(tmp_path, scenario(TARGET))
    given = {"source": source, "source_mask": mask}
    expected = execute(whole, {"ids": target, **given})[LOGITS]

    graph, _ = load_graph(tmp_path, scenario(3))
    results = execute(graph, {"ids": target[:, :3], **given})
    logits, caches = [results[LOGITS]], caches_of(graph, results)
    crossed = {name: values for name, values in caches.items() if CROSS in name}
    assert len(crossed) == 2 * 3
    for at in range(3, TARGET):
        graph, _ = load_graph(tmp_path, scenario(1, at, decode=True))
        feeds = {"ids": target[:, at : at + 1], "source_mask": mask, **crossed, **caches}
        results = execute(graph, feeds)
        logits.append(results[LOGITS])
        caches = caches_of(graph, results)
    np.testing.assert_allclose(np.concatenate(logits, axis=1), expected, rtol=1e-4, atol=1e-4)
