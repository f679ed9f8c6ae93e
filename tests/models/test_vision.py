"""Models that see against their classes in transformers: states, vectors, parameters, FLOPs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.analysis.convention import Mask, convention_named
from inferstack.analysis.count import count
from inferstack.core.errors import CheckpointError
from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.config_file import ConfigFile
from inferstack.models.decoder import LOGITS
from inferstack.models.families.clip import ARCHITECTURE as CLIP
from inferstack.models.hugging_face import load_graph
from inferstack.models.scenario import Scenario
from inferstack.ops.execute import execute

from .dense_decoders import VOCABULARY
from .referees import TOWERS, VISION, Referee, saved

Array = npt.NDArray[Any]
TOKENS, LENGTHS = 7, (7, 5)
CONTRACTIONS = ("conv2d", "matmul", "attention_scores", "attention_context")
UNREAD = ("pooler.", "embeddings.mask_token")
"""ViT's and DeiT's, which they were not trained with; what DINOv2 hides squares with."""


def images() -> Array:
    return np.random.default_rng(2).normal(size=(2, 3, 24, 24)).astype(np.float32)


def texts() -> tuple[Array, Array]:
    """ids and mask: the largest id ends a text, behind which it is filled up."""
    ids = np.random.default_rng(3).integers(4, VOCABULARY - 1, (len(LENGTHS), TOKENS))
    mask = np.array([[int(at < length) for at in range(TOKENS)] for length in LENGTHS])
    for row, length in enumerate(LENGTHS):
        ids[row, length - 1 :] = VOCABULARY - 1
    return ids, mask


def close(ours: Array, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-4)


def vector(answer: Any) -> Any:
    """What a class with or without projection calls it."""
    for name in ("image_embeds", "text_embeds", "pooler_output"):
        if getattr(answer, name, None) is not None:
            return getattr(answer, name)
    raise AssertionError(answer)


def check_counts(graph: Graph, model: Any, counted: int) -> None:
    ours = sum(t.elements for t in graph.tensors.values() if t.role is TensorRole.WEIGHT)
    theirs = [p.numel() for name, p in model.named_parameters() if not name.startswith(UNREAD)]
    assert ours == sum(theirs)
    whole = convention_named("exact", mask=Mask.FULL)
    flops = sum(one.flops for one in count(graph, whole) if one.kind in CONTRACTIONS)
    pooler = [p for n, p in model.named_parameters() if n.startswith("pooler.") and p.dim() > 1]
    assert flops + sum(2 * 2 * p.numel() for p in pooler) == counted


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("referee", VISION, ids=lambda referee: referee.name)
def test_images_are_equal(referee: Referee, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    model = saved(referee, tmp_path)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        answer = model(torch.from_numpy(images()))
    graph, unused = load_graph(tmp_path, Scenario.encode(1, batch=2))
    assert all(name.startswith(UNREAD) for name in unused), unused
    found = execute(graph, {"image": images()})
    close(found[graph.outputs[0]], answer.last_hidden_state)
    if len(graph.outputs) > 1:
        close(found[graph.outputs[1]], vector(answer))
    check_counts(graph, model, counter.get_total_flops())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("referee", TOWERS, ids=lambda referee: referee.name)
def test_texts_and_pairs_are_equal(referee: Referee, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model = saved(referee, tmp_path)
    ids, mask = texts()
    given = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    graph, unused = load_graph(tmp_path, Scenario.encode(TOKENS, batch=2))
    assert not unused
    feeds = {"ids": ids, "mask": mask}
    if "image" in graph.inputs:
        feeds["image"] = images()
        given["pixel_values"] = torch.from_numpy(images())
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        answer = model(**given)
    found = execute(graph, feeds)
    if "image" in graph.inputs:
        close(found[graph.outputs[0]], answer.text_embeds)
        close(found[graph.outputs[1]], answer.image_embeds)
        close(found[LOGITS], answer.logits_per_text)
    else:
        seen = mask.astype(bool)
        close(found[graph.outputs[0]][seen], answer.last_hidden_state[torch.from_numpy(seen)])
        close(found[graph.outputs[1]], vector(answer))
    check_counts(graph, model, counter.get_total_flops())


def test_a_misspelt_size_of_one_side_is_no_default() -> None:
    content = {"model_type": "siglip", "text_config": {"hiden_size": 512}}
    with pytest.raises(CheckpointError, match="text_config: has the unknown key 'hiden_size'"):
        CLIP.describe(ConfigFile("config.json", content))
