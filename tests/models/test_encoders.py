"""BERT and RoBERTa by name: sizes, repeats, random weights, scenarios, other sequence lengths."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from inferstack.core.errors import InputError
from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.architecture import architectures, build, preset_names, random_weights
from inferstack.models.scenario import LARGEST, Phase, Scenario
from inferstack.ops.execute import execute
from inferstack.ops.retoken import with_tokens

from .conftest import Array

POOLER_FREE_PARAMETERS = {
    "bert-base": 109_482_240 - (768 * 768 + 768),
    "bert-large": 335_141_888 - (1024 * 1024 + 1024),
    "minilm-l6": 22_713_216 - (384 * 384 + 384),
    "roberta-base": 124_645_632 - (768 * 768 + 768) - 768,
    "roberta-large": 355_359_744 - (1024 * 1024 + 1024) - 1024,
}
"""What `transformers` counts, without the pooler, and without RoBERTa's row for its only type.

Source: sum of AutoModel.from_config(...).parameters(), transformers 5.24.
"""


def parameters(graph: Graph) -> int:
    """Elements of all weights, repeated layers counted as often as they occur."""
    times: dict[str, int] = {}
    for operator in graph.operators:
        for name in operator.inputs.values():
            times[name] = graph.repeat(operator)
    weights = [t for t in graph.tensors.values() if t.role is TensorRole.WEIGHT]
    return sum(times[weight.name] * weight.elements for weight in weights)


def anatomy(graph: Graph) -> Counter[tuple[Any, ...]]:
    """How often each kind of operator occurs, with its part and its shapes."""
    found: Counter[tuple[Any, ...]] = Counter()
    for operator in graph.operators:
        shapes = tuple((slot, t.shape) for slot, t in graph.operands(operator).items())
        key = (operator.kind, operator.part, shapes, graph.result(operator).shape)
        found[key] += graph.repeat(operator)
    return found


def values(graph: Graph) -> dict[str, Array]:
    """The values of the weights by name."""
    return {name: t.data for name, t in graph.tensors.items() if t.data is not None}


def tiny(scenario: Scenario, *, unrolled: bool = True, seed: int = 0) -> Graph:
    """A small BERT with random weights."""
    content = {
        "model_type": "bert",
        "num_hidden_layers": 3,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "vocab_size": 30,
        "max_position_embeddings": 12,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
    }
    bert = architectures()["bert"]
    assert bert.hugging_face is not None
    config = bert.hugging_face.read_config("tiny", content)
    return bert.build("tiny", config, scenario, random_weights(seed), unrolled=unrolled)


@pytest.mark.parametrize("name", sorted(POOLER_FREE_PARAMETERS))
def test_a_name_has_the_parameters_that_transformers_counts(name: str) -> None:
    assert parameters(build(name, Scenario.encode(128))) == POOLER_FREE_PARAMETERS[name]
    assert name in preset_names()


@pytest.mark.parametrize("name", ["bert-base", "roberta-base"])
def test_a_graph_without_values_holds_one_layer_for_all(name: str) -> None:
    """The same operators as often as in the graph that holds every layer by itself."""
    short = build(name, Scenario.encode(64, batch=2))
    long = build(name, Scenario.encode(64, batch=2), unrolled=True)
    assert anatomy(short) == anatomy(long)
    assert len(long.operators) - len(short.operators) == 11 * 14
    assert set(short.repeats.values()) == {12}
    assert not long.repeats
    assert all(t.data is None for t in (*short.tensors.values(), *long.tensors.values()))


def test_a_graph_with_repeats_does_not_run() -> None:
    with pytest.raises(InputError, match="one layer stands for several; it cannot run"):
        execute(tiny(Scenario.encode(4), unrolled=False), {})


def test_random_weights_depend_on_seed_and_name_alone() -> None:
    first, again = values(tiny(Scenario.encode(4))), values(tiny(Scenario.encode(9, batch=3)))
    other = values(tiny(Scenario.encode(4), seed=1))
    assert list(first) == list(again) == list(other)
    for name, drawn in first.items():
        assert drawn.dtype == np.float32
        assert np.array_equal(drawn, again[name])
        assert not np.array_equal(drawn, other[name])
    assert len({first[f"layer{index}.query.weight"].tobytes() for index in range(3)}) == 3


def test_random_weights_make_a_model_that_runs() -> None:
    graph = tiny(Scenario.encode(7))
    ids = np.random.default_rng(0).integers(0, 30, (4, 7))
    feeds = {"ids": ids, "token_type_ids": ids % 2, "mask": np.ones_like(ids)}
    (output,) = graph.outputs
    result = execute(graph, feeds)[output]
    assert result.shape == (4, 7, 16)
    assert np.isfinite(result).all()
    assert len(np.unique(result.round(5), axis=0)) == 4


def test_another_length_is_the_graph_built_for_it() -> None:
    built, changed = tiny(Scenario.encode(5)), with_tokens(tiny(Scenario.encode(12)), 5)
    assert anatomy(built) == anatomy(changed)
    ids = np.arange(10).reshape(2, 5)
    mask = (ids != 9).astype(np.int64)
    feeds = {"ids": ids, "token_type_ids": ids % 2, "mask": mask}
    (output,) = built.outputs
    assert np.array_equal(execute(built, feeds)[output], execute(changed, feeds)[output])
    assert with_tokens(built, 5) is built
    short = tiny(Scenario.encode(12), unrolled=False)
    assert with_tokens(short, 5).repeats == short.repeats


def test_another_length_beyond_the_position_table_is_refused() -> None:
    with pytest.raises(InputError, match="at most 12 tokens, what the position table holds"):
        with_tokens(tiny(Scenario.encode(5)), 13)


def test_a_name_and_a_sequence_that_is_too_long_for_it() -> None:
    with pytest.raises(InputError) as caught:
        build("roberta-base", Scenario.encode(513))
    assert str(caught.value) == (
        "model roberta-base: the sequence is longer than the position table; got 513 tokens, need "
        "at most 512\n\nhint: --seq-len 512, or a model trained on longer texts"
    )
    longer = build("roberta-base", Scenario.encode(4096), beyond_positions=True)
    assert longer.tensors["embedding.position"].shape == (4096 + 2, 768)
    usual = build("roberta-base", Scenario.encode(16), beyond_positions=True)
    assert usual.tensors["embedding.position"].shape == (514, 768)


@pytest.mark.parametrize(
    ("scenario", "phase"), [(Scenario.prefill(8), "prefill"), (Scenario.decode(8), "decode")]
)
def test_an_encoder_only_encodes(scenario: Scenario, phase: str) -> None:
    with pytest.raises(InputError) as caught:
        build("bert-base", scenario)
    assert str(caught.value) == (
        f"model bert-base: an encoder only encodes; got the phase {phase}, need the phase encode"
    )


def test_scenarios_say_what_attention_sees() -> None:
    assert Scenario.encode(9, batch=2) == Scenario(phase=Phase.ENCODE, batch=2, new_tokens=9)
    assert Scenario.prefill(9, context_tokens=4).attended_tokens == 13
    assert Scenario.decode(100).attended_tokens == 101
    assert Scenario.decode(100, new_tokens=4).attended_tokens == 104


SIZES = f"a whole number from 1 to {LARGEST:,}"


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"batch": 0}, f", batch: makes no sense; got 0, need {SIZES}"),
        ({"new_tokens": -1}, f", new_tokens: makes no sense; got -1, need {SIZES}"),
        (
            {"new_tokens": 2**30},
            f", new_tokens: makes no sense; got {2**30:,}, need {SIZES}",
        ),
        ({"new_tokens": 1.5}, ", new_tokens: is no whole number; got 1.5"),
        ({"batch": True}, ", batch: is no whole number; got True"),
        (
            {"context_tokens": -1},
            ", context_tokens: makes no sense; got -1, need a whole",
        ),
        (
            {"context_tokens": 3},
            (
                ": an encoder sees all tokens at once and has no cache; got context_tokens 3, need "
                "context_tokens 0"
            ),
        ),
    ],
)
def test_scenarios_that_make_no_sense_are_said(sizes: dict[str, Any], message: str) -> None:
    whole: dict[str, Any] = {"phase": Phase.ENCODE, "batch": 1, "new_tokens": 8, **sizes}
    with pytest.raises(InputError) as caught:
        Scenario(**whole)
    assert str(caught.value).startswith(f"scenario{message}")


def test_parts_cover_all_multiplications() -> None:
    """Every operator of a layer belongs to a part that tables know; the projections are 4 of 6."""
    graph = build("bert-base", Scenario.encode(16))
    parts = Counter(op.part for op in graph.operators if op.kind == "matmul")
    assert parts == {"attention projection": 4, "feed-forward": 2}
    assert math.prod(graph.tensors["layer0.scores"].shape) == 12 * 16 * 16
