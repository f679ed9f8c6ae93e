"""Every family against its class in transformers, on a small random model that it saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.api.encoder import float_encoder
from inferstack.compress.accuracy import embed
from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.decoder import LOGITS, caches_of
from inferstack.models.hugging_face import load_checkpoint, load_graph
from inferstack.models.scenario import Scenario
from inferstack.ops.execute import execute
from inferstack.testing.checkpoints import word_tokenizer

from .dense_decoders import VOCABULARY
from .referees import INSIDE, REFEREES, Referee, read_parameters, saved

Array = npt.NDArray[Any]
TOKENS, LENGTHS = 11, (11, 7)
"""Of the batch; the second sentence is filled up."""

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.parametrize("referee", [*REFEREES, *INSIDE], ids=lambda referee: referee.name),
]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Path]]:
    """Each of them once in a session, by name."""
    pytest.importorskip("transformers")
    return {}


@pytest.fixture
def model(
    referee: Referee,
    models: dict[str, tuple[Any, Path]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Any, Path]:
    if referee.name not in models:
        folder = tmp_path_factory.mktemp("referee")
        models[referee.name] = (saved(referee, folder), folder)
    return models[referee.name]


def sentences() -> tuple[Array, Array]:
    """ids and mask; filled up with 1, which no other place has."""
    generator = np.random.default_rng(3)
    ids = generator.integers(2, VOCABULARY, (len(LENGTHS), TOKENS))
    mask = np.array([[int(at < length) for at in range(TOKENS)] for length in LENGTHS])
    return np.where(mask, ids, 1), mask


def feeds(graph: Graph, ids: Array, mask: Array) -> dict[str, Array]:
    given = {"ids": ids, "mask": mask, "token_type_ids": np.arange(ids.size).reshape(ids.shape) % 2}
    return {name: values for name, values in given.items() if name in graph.inputs}


def theirs(model: Any, graph: Graph, ids: Array, mask: Array) -> Any:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    given = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    if "token_type_ids" in graph.inputs:
        types = feeds(graph, ids, mask)["token_type_ids"]
        given["token_type_ids"] = torch.from_numpy(types)
    # The counter does not know the other kernels.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        return model(**given, output_hidden_states=True)


def test_hidden_states_and_logits_are_equal(referee: Referee, model: tuple[Any, Path]) -> None:
    reference, folder = model
    ids, mask = sentences()
    causal = referee.writes
    scenario = Scenario.prefill(TOKENS, batch=2) if causal else Scenario.encode(TOKENS, batch=2)
    graph, unused = load_graph(folder, scenario)
    assert not [name for name in unused if not referee.leaves(name)]
    found = execute(graph, feeds(graph, ids, mask))
    answer = theirs(reference, graph, ids, mask)
    seen = mask.astype(bool)
    hidden = answer.hidden_states[-1] if causal else answer.last_hidden_state
    np.testing.assert_allclose(
        found[graph.outputs[0]][seen], hidden.numpy()[seen], rtol=1e-4, atol=1e-4
    )
    if causal:
        logits = answer.logits.numpy()
        np.testing.assert_allclose(found[LOGITS][seen], logits[seen], rtol=1e-4, atol=1e-4)


def test_sentences_are_embedded_from_the_folder(referee: Referee, model: tuple[Any, Path]) -> None:
    """With a tokenizer, as users have it: short sentences filled up, then cut to their length."""
    import torch

    if referee.auto != "AutoModel":
        pytest.skip("no encoder of sentences")
    reference, folder = model
    (folder / "tokenizer.json").write_text(json.dumps(word_tokenizer()), encoding="utf-8")
    ours = load_checkpoint(folder, seq_len=TOKENS)
    texts = ["the cat sat", "the dog ran very far and sat on the mat !"]
    arrays = ours.tokenizer.encode(texts)
    given = {"input_ids": torch.from_numpy(arrays["ids"])}
    given["attention_mask"] = torch.from_numpy(arrays["mask"])
    if "token_type_ids" in arrays:
        given["token_type_ids"] = torch.from_numpy(arrays["token_type_ids"])
    with torch.no_grad():
        hidden = reference(**given).last_hidden_state.numpy()
    seen = arrays["mask"][:, :, None]
    assert sorted(seen.sum(axis=(1, 2))) == [5, TOKENS]
    expected = (hidden * seen).sum(axis=1) / seen.sum(axis=1)
    np.testing.assert_allclose(embed(ours.graph, arrays), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["int8-float", "integer-only"])
def test_encoders_become_integers(method: str, referee: Referee, model: tuple[Any, Path]) -> None:
    if referee.auto != "AutoModel":
        pytest.skip("no encoder of sentences")
    _, folder = model
    (folder / "tokenizer.json").write_text(json.dumps(word_tokenizer()), encoding="utf-8")
    encoder = float_encoder(folder, TOKENS)
    texts = ["the cat sat", "the dog ran very far", "a cat and the dog sat on the mat", "play !"]
    integers = encoder.quantized(texts, method=method)
    assert encoder.accuracy_against(integers, texts).mean_cosine > 0.999


def test_parameters_and_flops_are_as_many(referee: Referee, model: tuple[Any, Path]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    from inferstack.analysis.convention import Mask, convention_named
    from inferstack.analysis.count import count

    reference, folder = model
    causal = referee.writes
    scenario = Scenario.prefill(TOKENS, batch=2) if causal else Scenario.encode(TOKENS, batch=2)
    graph, _ = load_graph(folder, scenario)
    names = {
        name
        for operator in graph.operators
        for name in operator.inputs.values()
        if graph.tensors[name].role is TensorRole.WEIGHT
    }
    ours = sum(graph.tensors[name].elements for name in names)
    assert ours == read_parameters(referee, reference)
    ids, mask = sentences()
    with FlopCounterMode(display=False) as counter:
        theirs(reference, graph, ids, mask)
    kinds = ("matmul", "attention_scores", "attention_context")
    whole = convention_named("exact", mask=Mask.FULL)
    flops = sum(one.flops for one in count(graph, whole) if one.kind in kinds)
    pooler = (
        0
        if causal
        else 2 * len(LENGTHS) * sum(p.numel() for p in _pooler(reference) if p.dim() > 1)
    )
    assert flops + pooler + referee.differs == counter.get_total_flops()


WITHOUT_CACHE = "openai-gpt"
"""Its code has none."""
ALL_KEYS = "gpt_neo"
"""Its code scores all keys of a step and masks those behind the window."""


def test_a_step_takes_as_many_flops(referee: Referee, model: tuple[Any, Path]) -> None:
    if not referee.writes or referee.model_type == WITHOUT_CACHE:
        pytest.skip("there are no steps")
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from inferstack.analysis.convention import Mask, convention_named
    from inferstack.analysis.count import count

    reference, folder = model
    mask = Mask.FULL if referee.model_type == ALL_KEYS else Mask.CAUSAL
    ids = torch.from_numpy(sentences()[0])
    graph, _ = load_graph(folder, Scenario.decode(TOKENS - 1, batch=2))
    kinds = ("matmul", "attention_scores", "attention_context")
    counted = count(graph, convention_named("exact", mask=mask))
    ours = sum(one.flops for one in counted if one.kind in kinds)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        before = reference(input_ids=ids[:, :-1], use_cache=True)
        # transformers 5 renamed what a step goes on from.
        name = "cache" if "cache" in before else "past_key_values"
        kept = {name: before[name]}
        with FlopCounterMode(display=False) as counter:
            reference(input_ids=ids[:, -1:], use_cache=True, **kept)
    assert ours == counter.get_total_flops()


def test_decoding_with_the_cache_is_equal(referee: Referee, model: tuple[Any, Path]) -> None:
    if not referee.writes:
        pytest.skip("an encoder has no cache")
    reference, folder = model
    ids, mask = sentences()
    ids, first = ids[:1], 6
    graph, _ = load_graph(folder, Scenario.prefill(first))
    results = execute(graph, {"ids": ids[:, :first]})
    logits = [results[LOGITS]]
    for at in range(first, TOKENS):
        caches = caches_of(graph, results)
        graph, _ = load_graph(folder, Scenario.decode(at))
        results = execute(graph, {"ids": ids[:, at : at + 1], **caches})
        logits.append(results[LOGITS])
    answer = theirs(reference, graph, ids, mask[:1])
    np.testing.assert_allclose(
        np.concatenate(logits, axis=1), answer.logits.numpy(), rtol=1e-4, atol=1e-4
    )


def _pooler(reference: Any) -> list[Any]:
    return [p for n, p in reference.named_parameters() if n.startswith("pooler.")]
