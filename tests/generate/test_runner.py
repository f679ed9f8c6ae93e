"""The prepared decoder against the references, for every decoder of the families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors import safe_open
from tests.models.dense_decoders import VOCABULARY
from tests.models.referees import REFEREES, Referee, saved

from inferstack.core.errors import InputError
from inferstack.generate import runner as runner_module
from inferstack.generate.runner import TEMPLATE, Runner
from inferstack.models.decoder import LOGITS, caches_of
from inferstack.models.hugging_face import load_graph, read_architecture
from inferstack.models.scenario import Scenario
from inferstack.ops.execute import execute
from inferstack.testing.checkpoints import tiny_llama

Array = npt.NDArray[Any]
TOKENS, PROMPT = 14, 6
DECODERS = [referee for referee in REFEREES if "CausalLM" in referee.auto]


def ids() -> Array:
    return np.random.default_rng(5).integers(2, VOCABULARY, (1, TOKENS))


def by_reference(folder: Path, given: Array) -> Array:
    """The logits (tokens, vocabulary): a prompt, then a graph for each token."""
    graph, _ = load_graph(folder, Scenario.prefill(PROMPT))
    results = execute(graph, {"ids": given[:, :PROMPT]})
    logits = [results[LOGITS][0]]
    for at in range(PROMPT, TOKENS):
        caches = caches_of(graph, results)
        graph, _ = load_graph(folder, Scenario.decode(at))
        results = execute(graph, {"ids": given[:, at : at + 1], **caches})
        logits.append(results[LOGITS][0])
    return np.concatenate(logits)


def runner_of(folder: Path) -> Runner:
    graph, _ = load_graph(folder, TEMPLATE)
    return Runner(graph, read_architecture(folder)[1])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("referee", DECODERS, ids=lambda referee: referee.name)
def test_a_token_at_a_time_is_as_the_references(
    referee: Referee, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    saved(referee, tmp_path)
    given = ids()
    expected = by_reference(tmp_path, given)
    runner = runner_of(tmp_path)
    sequence = runner.start(TOKENS)
    found = [sequence.feed(given[0, :PROMPT], every=True)]
    found += [sequence.feed(given[0, at : at + 1]) for at in range(PROMPT, TOKENS)]
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-4, atol=1e-4)
    # A prompt in pieces is the same prompt, and its last logits are the last of all.
    whole = runner.start(TOKENS).feed(given[0], every=True)
    monkeypatch.setattr(runner_module, "CHUNK_TOKENS", 4)
    pieces = runner.start(TOKENS).feed(given[0], every=True)
    np.testing.assert_allclose(pieces, whole, rtol=1e-4, atol=1e-4)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    pytest.importorskip("transformers")
    saved(next(one for one in DECODERS if one.name == "llama"), tmp_path)
    return runner_of(tmp_path)


def test_texts_do_not_see_each_other(runner: Runner) -> None:
    given = ids()[0]
    alone = runner.start(TOKENS).feed(given)
    first, second = runner.start(TOKENS), runner.start(TOKENS)
    first.feed(given[:5])
    second.feed(given[::-1][:5])
    assert np.allclose(first.feed(given[5:]), alone, atol=1e-5)


def test_what_does_not_fit_is_refused(runner: Runner) -> None:
    with pytest.raises(InputError, match="longer than the model's positions"):
        runner.start(65)
    sequence = runner.start(4)
    sequence.feed([1, 2, 3])
    for wrong, message in (
        ([], "no tokens"),
        ([VOCABULARY], "stands in no table"),
        ([-1], "stands in no table"),
        ([1, 2], "longer than its cache"),
    ):
        with pytest.raises(InputError, match=message):
            sequence.feed(wrong)
    assert sequence.tokens == 3
    sequence.feed([4])


@pytest.mark.filterwarnings("ignore")
def test_a_token_reads_the_weights_of_its_experts_alone(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    referee = next(one for one in DECODERS if one.name == "mixtral")
    saved(referee, tmp_path)
    described = read_architecture(tmp_path)[1]
    mixture = described.layers[0].feed_forward.experts
    with safe_open(tmp_path / "model.safetensors", "np") as file:
        stored = {name: file.get_tensor(name).nbytes for name in file.keys()}  # noqa: SIM118
    experts = sum(size for name, size in stored.items() if ".experts." in name)
    table = stored["model.embed_tokens.weight"]
    assert experts * mixture.active % mixture.count == 0
    expected = sum(stored.values()) - table - experts + experts * mixture.active // mixture.count
    assert runner_of(tmp_path).weight_bytes == expected


def test_logits_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    made = tiny_llama(tmp_path / "damaged")
    made.tensors["model.norm.weight"][:] = 3e38
    with pytest.raises(InputError, match="generation: the logits are not finite"):
        runner_of(made.write()).start(TOKENS).feed([5, 6, 7])
