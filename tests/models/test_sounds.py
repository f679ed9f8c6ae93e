"""Encoders of sounds against their classes in transformers: states, logits, parameters, FLOPs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inferstack.analysis.convention import EXACT
from inferstack.analysis.count import count
from inferstack.core.errors import CheckpointError
from inferstack.ir.graph import TensorRole
from inferstack.models.hugging_face import load_checkpoint, load_graph
from inferstack.models.scenario import Scenario
from inferstack.ops.execute import execute

from .referees import SOUNDS, Referee, read_parameters, saved

TOKENS, LENGTHS = 12, (12, 8)
KEPT = ("num_batches_tracked", "inv_freq")
"""In the file, of training or computed."""
CONTRACTIONS = ("conv2d", "matmul", "attention_scores", "attention_context")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("referee", SOUNDS, ids=lambda referee: referee.name)
def test_states_logits_and_counts_are_equal(referee: Referee, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model = saved(referee, tmp_path)
    graph, unused = load_graph(tmp_path, Scenario.encode(TOKENS, batch=2))
    hidden = referee.unread + tuple(f"{model.base_model_prefix}.{name}" for name in referee.unread)
    assert all(name.startswith(hidden) or name.endswith(KEPT) for name in unused), unused
    samples = graph.tensors["sound"].shape[-1]
    sound = np.random.default_rng(1).normal(size=(2, samples)).astype(np.float32)
    # As long as 12 and 8 tokens: a token is 16 samples.
    heard = np.array(
        [[int(at < samples - 16 * (TOKENS - n)) for at in range(samples)] for n in LENGTHS]
    )
    mask = np.array([[int(at < n) for at in range(TOKENS)] for n in LENGTHS])
    given = (torch.from_numpy(sound), torch.from_numpy(heard))
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        answer = model(*given, output_hidden_states=True)
    found = execute(graph, {"sound": sound[:, None, None], "mask": mask})
    seen = mask.astype(bool)
    states = getattr(answer, "last_hidden_state", None)
    if states is not None:
        ours = found[graph.outputs[0]][seen]
        np.testing.assert_allclose(ours, states.numpy()[seen], rtol=1e-4, atol=1e-4)
    else:
        logits = answer.logits.numpy()[seen]
        np.testing.assert_allclose(found["logits"][seen], logits, rtol=1e-4, atol=1e-4)

    ours = sum(t.elements for t in graph.tensors.values() if t.role is TensorRole.WEIGHT)
    assert ours == read_parameters(referee, model)
    flops = sum(one.flops for one in count(graph, EXACT) if one.kind in CONTRACTIONS)
    assert flops + referee.differs == counter.get_total_flops()


@pytest.mark.filterwarnings("ignore")
def test_an_older_file_has_direction_and_length_by_older_names(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from safetensors.numpy import load_file, save_file

    saved(SOUNDS[0], tmp_path)
    scenario = Scenario.encode(TOKENS)
    newer, _ = load_graph(tmp_path, scenario)
    path, place = tmp_path / "model.safetensors", "encoder.pos_conv_embed.conv"
    tensors = load_file(path)
    length = tensors.pop(f"{place}.parametrizations.weight.original0")
    tensors[f"{place}.weight_v"] = tensors.pop(f"{place}.parametrizations.weight.original1")
    save_file({**tensors, f"{place}.weight_g": length}, path)
    older, unused = load_graph(tmp_path, scenario)
    assert unused == ("masked_spec_embed",)
    name = "embedding.position.weight"
    np.testing.assert_array_equal(older.tensors[name].data, newer.tensors[name].data)
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"lacks the tensor '.*conv\.weight_g'"):
        load_graph(tmp_path, scenario)
    save_file({**tensors, f"{place}.weight_g": length[:, :, 1:]}, path)
    with pytest.raises(CheckpointError, match="is no length for each of the last axis"):
        load_graph(tmp_path, scenario)


def test_a_sound_is_no_sentence(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    saved(SOUNDS[0], tmp_path)
    with pytest.raises(CheckpointError, match="is no encoder of sentences"):
        load_checkpoint(tmp_path, seq_len=8)
