"""`analyze`: what a model asks for in a task, from a name or a folder to counts and footprint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from inferstack.analysis.convention import EXACT, Convention, Mask
from inferstack.analysis.count import Count, OperatorCount, count, count_generation, total
from inferstack.analysis.footprint import Footprint, footprint
from inferstack.core.errors import InputError, UnknownNameError
from inferstack.core.foreign import recognised
from inferstack.ir.graph import Graph
from inferstack.models.architecture import (
    Architecture,
    architecture_of,
    no_weights,
    preset_names,
)
from inferstack.models.gguf_file import is_gguf
from inferstack.models.gguf_model import GgufModel, open_model, weight_type
from inferstack.models.hugging_face import read_architecture
from inferstack.models.layers import ARCHITECTURE as LAYERS
from inferstack.models.layers import LayerSet, is_layer_file, layers_of, read_layers
from inferstack.models.onnx.file import is_onnx
from inferstack.models.onnx.model import OnnxArchitecture
from inferstack.models.onnx.model import open_model as open_onnx_model
from inferstack.models.scenario import Phase, Scenario, check_size
from inferstack.models.weight_type import WeightType
from inferstack.ops.registry import assumptions

USUAL_LENGTHS = (128, 512)
"""Sequence lengths where none are given."""


class Task(StrEnum):
    """What is counted."""

    ENCODE = "encode"
    """One pass of an encoder over all tokens, or over an image."""
    PREFILL = "prefill"
    """One pass of a decoder over a prompt."""
    DECODE = "decode"
    """The step that makes the last token of the sequence; the others are cached."""
    GENERATE = "generate"
    """All tokens of the sequence, one step each, without a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """An architecture with its sizes. folder: where config.json stands, or the GGUF file; None for
    a preset. weights: the type that it gives them. gguf: what was read of the file.
    """

    name: str
    architecture: Architecture
    config: Any
    folder: Path | None = None
    weights: WeightType | None = None
    gguf: GgufModel | None = None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What it can do, the usual one first."""
        if self.architecture.phases == (Phase.PREFILL,):
            return (Task.PREFILL,)
        if Phase.DECODE in self.architecture.phases:
            encodes = (Task.ENCODE,) if Phase.ENCODE in self.architecture.phases else ()
            return (Task.GENERATE, Task.PREFILL, Task.DECODE, *encodes)
        return (Task.ENCODE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A model, a task, and its size. tokens: of each sequence; 1 stands for an image."""

    model: Model
    task: Task
    batch: int
    tokens: int

    def step(self, context: int) -> Graph:
        """The graph of one step of decoding behind `context` tokens."""
        return self._graph(Scenario.decode(context, batch=self.batch))

    def graph(self) -> Graph:
        """The graph of the task, of its last step for GENERATE. One layer of each kind."""
        if self.task in (Task.DECODE, Task.GENERATE):
            return self.step(self.tokens - 1)
        phase = Phase(self.task.value)
        return self._graph(Scenario(phase=phase, batch=self.batch, new_tokens=self.tokens))

    @property
    def longest_sequence(self) -> int | None:
        """Tokens that the model has positions for; None where there is no such limit."""
        config = self.model.config
        longest = getattr(config, "longest_sequence", getattr(config, "positions", None))
        return None if longest is None else int(longest)

    def _graph(self, scenario: Scenario) -> Graph:
        return self.model.architecture.build(
            self.model.name,
            self.model.config,
            # What a decoder reads of its encoder is as long as the whole of its own.
            replace(scenario, source_tokens=self.tokens),
            no_weights,
            unrolled=False,
            beyond_positions=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """A workload's counts. footprint: during its last (or only) pass."""

    workload: Workload
    convention: Convention
    operators: tuple[OperatorCount, ...]
    footprint: Footprint

    @property
    def mask(self) -> Mask:
        """Which pairs of query and key were counted."""
        return self.convention.mask if is_causal(self.workload.model) else Mask.FULL

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the counts take for granted of the data."""
        return assumptions(operator.kind for operator in self.operators)

    @property
    def total(self) -> Count:
        """The sum over all operators."""
        return total(self.operators)


def is_causal(model: Model) -> bool:
    """Whether its tokens attend only to earlier ones and themselves."""
    decodes = Phase.DECODE in model.architecture.phases
    return decodes or bool(getattr(model.config, "causal", False))


def own_length(model: Model) -> int | None:
    """The length of sequences of a file that was made for one; None where any will do."""
    own = getattr(model.config, "usual_tokens", None)
    return None if own is None else int(own)


def check_mask(model: Model, mask: Mask | None) -> None:
    """Raises InputError for a causal mask on a model that has none."""
    if mask is Mask.CAUSAL and not is_causal(model):
        raise InputError(
            "--mask causal", f"{model.name} attends to all tokens", need="full, or no --mask"
        )


def analyze(workload: Workload, convention: Convention = EXACT) -> Analysis:
    """Counts and footprint of a workload; longer tables stand for positions that it lacks."""
    graph = workload.graph()
    if workload.task is Task.GENERATE:
        counts = count_generation(workload.step, workload.tokens, convention)
    else:
        counts = count(graph, convention)
    return Analysis(
        workload=workload,
        convention=convention,
        operators=counts,
        footprint=footprint(graph, convention),
    )


def find_model(name: str, *, image_size: int | None = None) -> Model:
    """The preset of that name, the model whose config.json stands in that folder, that of a GGUF
    file or an ONNX file, or the layers of a file.

    image_size: for models that see images. Raises UnknownNameError for what is neither, InputError
    for an image size that makes no sense, CheckpointError for a folder that cannot be read.
    """
    folder, weights, gguf = None, None, None
    if is_layer_file(name):
        return _layers(Path(name).stem, read_layers(Path(name)), image_size)
    try:
        architecture, config = architecture_of(name)
    except UnknownNameError:
        if "/" not in name and not os.path.exists(name):  # False too for what is no path
            names = preset_names()
            raise UnknownNameError(
                "MODEL", "model", name, names, listed_by="inferstack models"
            ) from None
        # Of another ending, and of no known tool: the error says which files of layers are read.
        if os.path.isfile(name) and recognised(Path(name)) is None and not is_onnx(Path(name)):
            return _layers(Path(name).stem, read_layers(Path(name)), image_size)
        folder = Path(name)
        if is_gguf(folder):
            gguf = open_model(folder)
            architecture, config = gguf.architecture, gguf.description
            name, weights = folder.stem, weight_type(gguf)
        elif is_onnx(folder):
            config = open_onnx_model(folder)
            architecture, name = OnnxArchitecture(config), folder.stem
        else:
            architecture, config, weights = read_architecture(folder)
            name = folder.resolve().name
    if image_size is not None:
        if architecture.sees_tokens:
            raise InputError(
                f"--image-size {image_size}", f"{name} sees tokens, not images", hint="--seq-len"
            )
        if not any(field.name == "image_size" for field in fields(config)):
            raise InputError(
                f"--image-size {image_size}", f"{name} has positions for one size of image",
                need=config.image_size,
            )  # fmt: skip
        config = replace(config, image_size=image_size)
    return Model(
        name=name,
        architecture=architecture,
        config=config,
        folder=folder,
        weights=weights,
        gguf=gguf,
    )


def layer_model(texts: Sequence[str]) -> Model:
    """The layers of `--layer` flags as a model. Raises InputError."""
    return _layers("layers", layers_of(texts), None)


def _layers(name: str, layers: LayerSet, image_size: int | None) -> Model:
    if image_size is not None:
        raise InputError(f"--image-size {image_size}", "layers say their own sizes")
    return Model(name=name, architecture=LAYERS, config=layers)


def workloads(
    model: Model, *, lengths: Sequence[int] | None = None, task: Task | None = None, batch: int = 1
) -> tuple[Workload, ...]:
    """One workload per sequence length; the model's usual task unless one is given.

    Raises InputError for a task that the model cannot do, for lengths where it sees images, and for
    sizes that make no sense.
    """
    chosen = model.tasks[0] if task is None else task
    if chosen not in model.tasks:
        raise InputError(
            f"--phase {chosen}",
            f"{model.name} does not {chosen}",
            need=f"one of {', '.join(model.tasks)}",
        )
    if not model.architecture.sees_tokens:
        if lengths is not None:
            raise InputError(
                "--seq-len",
                f"{model.name} sees images, not sequences",
                hint="leave --seq-len out; --image-size sets the height and width in pixels",
            )
        lengths = (1,)
    own = own_length(model)
    for flag, size in (("--batch", batch), *(("--seq-len", n) for n in lengths or ())):
        check_size(flag, size)
    return tuple(
        Workload(model=model, task=chosen, batch=batch, tokens=tokens)
        for tokens in lengths or (USUAL_LENGTHS if own is None else (own,))
    )
