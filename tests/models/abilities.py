"""What each `model_type` can do, found by trying it on its small random model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inferstack.analysis.workload import analyze, find_model, workloads
from inferstack.compress.calibration import calibrate
from inferstack.compress.crossing import kinds_on_host
from inferstack.compress.method import methods
from inferstack.core.errors import InferStackError
from inferstack.generate.runner import TEMPLATE, Runner
from inferstack.generate.source import Reader
from inferstack.ir.graph import Graph
from inferstack.models.decoder import LOGITS
from inferstack.models.description import Description, EncoderDecoder
from inferstack.models.hugging_face import load_graph, read_architecture
from inferstack.models.scenario import Phase, Scenario
from inferstack.models.two_stacks import load_two_stacks
from inferstack.ops.execute import execute

from .dense_decoders import VOCABULARY

Array = npt.NDArray[Any]
TOKENS, SOURCE, SENTENCES = 7, 9, 4
NEAR = 0.98
"""Cosine of a compressed model's outputs with its own that counts as the same."""
FAR_OFF = "far off"


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """Cells of the table: "yes", "–" where it makes no sense, or what stands in the way."""

    kind: str
    counts: str
    generation: str
    compressed: Mapping[str, str]
    """By method."""


def tried(folder: Path) -> Abilities:
    """The model of a folder, all of it tried."""
    architecture, config, _ = read_architecture(folder)
    return Abilities(
        kind=_kind(config, architecture.phases),
        counts=_counts(folder),
        generation=_generation(folder, config),
        compressed={name: _compressed(folder, config, name) for name in sorted(methods())},
    )


def _kind(config: Any, phases: tuple[Phase, ...]) -> str:
    if isinstance(config, EncoderDecoder):
        return "encoder-decoder" if config.encoder.reads_words else "speech to text"
    if not isinstance(config, Description):
        return "text and image"
    if config.patches is not None:
        return "vision"
    if config.sound is not None:
        return "speech"
    return "decoder" if Phase.DECODE in phases else "encoder"


def _counts(folder: Path) -> str:
    model = find_model(f"{folder}/")
    lengths = (TOKENS,) if model.architecture.sees_tokens else None
    found = [
        analyze(workload).total.flops
        for task in model.tasks
        for workload in workloads(model, lengths=lengths, task=task)
    ]
    return "yes" if min(found) > 0 else "no"


def _scenarios(config: Any) -> Iterator[Scenario]:
    """The passes that show all of its operators."""
    if isinstance(config, Description) and config.writes:
        yield Scenario.prefill(TOKENS, batch=SENTENCES)
        return
    tokens = SOURCE if isinstance(config, EncoderDecoder) else TOKENS
    seen = isinstance(config, Description) and config.patches is not None
    yield Scenario.encode(1 if seen else tokens, batch=SENTENCES)
    if isinstance(config, EncoderDecoder):
        yield Scenario(
            phase=Phase.PREFILL, batch=SENTENCES, new_tokens=TOKENS, source_tokens=SOURCE
        )


def feeds(graph: Graph) -> dict[str, Array]:
    """Random words, images and sounds, none of them filled up."""
    generator = np.random.default_rng(7)
    found: dict[str, Array] = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        if "mask" in name:
            found[name] = np.ones(tensor.shape, dtype=np.int64)
        elif tensor.dtype.is_integer:
            most = 2 if name == "token_type_ids" else VOCABULARY
            found[name] = generator.integers(0 if most == 2 else 3, most, tensor.shape)
        else:
            found[name] = generator.normal(size=tensor.shape).astype(np.float32)
    return found


def _compressed(folder: Path, config: Any, name: str) -> str:
    left = dict[str, None]()
    for scenario in _scenarios(config):
        graph, _ = load_graph(folder, scenario)
        given = feeds(graph)
        try:
            made = methods()[name].apply(graph, calibrate(graph, [given]))
        except InferStackError as failure:
            return _lacking(graph, str(failure))
        whole, ours = execute(graph, given), execute(made, given)
        pairs = zip(graph.outputs, made.outputs, strict=True)
        if min(_cosine(whole[theirs], ours[own]) for theirs, own in pairs) < NEAR:
            return FAR_OFF
        left |= dict.fromkeys(kinds_on_host(made) if name == "integer-only" else ())
    return f"but for {', '.join(left)}" if left else "yes"


def _cosine(a: Array, b: Array) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def _lacking(graph: Graph, failure: str) -> str:
    """The kind of operator that a message is about."""
    kinds = {operator.name: operator.kind for operator in graph.operators}
    named = [word for word in re.findall(r"[\w.]+", failure.splitlines()[0]) if word in kinds]
    assert named, failure
    return f"no: {kinds[named[0]]}"


def _generation(folder: Path, config: Any) -> str:
    """Whether the prepared model has the logits of the whole text."""
    ids = np.random.default_rng(8).integers(3, VOCABULARY, (1, TOKENS))
    if isinstance(config, EncoderDecoder):
        model = load_two_stacks(folder, hears=not config.encoder.reads_words)
        encoder = model.graph(Scenario.encode(SOURCE))
        given = feeds(encoder)
        reader = Reader(model)
        if config.encoder.reads_words:
            source = reader.read(given["ids"][0])
        else:
            source = reader.hear(given["signal"][0, :, 0])
        (made,) = execute(encoder, given).values()
        scenario = Scenario(phase=Phase.PREFILL, batch=1, new_tokens=TOKENS, source_tokens=SOURCE)
        mask = np.ones((1, SOURCE), dtype=np.int64)
        whole = execute(model.graph(scenario), {"ids": ids, "source": made, "source_mask": mask})
        text = source.start(TOKENS)
    elif isinstance(config, Description) and config.writes:
        graph, _ = load_graph(folder, Scenario.prefill(TOKENS))
        whole = execute(graph, {"ids": ids})
        text = Runner(load_graph(folder, TEMPLATE)[0], config).start(TOKENS)
    else:
        return "–"
    logits = np.concatenate([text.feed(ids[0, at : at + 1]) for at in range(TOKENS)])
    return "yes" if np.allclose(logits, whole[LOGITS][0], rtol=1e-3, atol=1e-3) else "no"
