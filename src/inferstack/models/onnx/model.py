"""An ONNX file as a model: an architecture like the others, whose config is the file.

Inputs of the graph are called as ours: ids, token_type_ids, mask (1 = token), image; a cache keeps
its name in the file and is (batch, context, heads * width). Positions are those of sequences
without padding in front. Outputs stand in the file's order, those that run;
`Recovered.outputs` says how the file lays them out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.dtypes import DType
from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.architecture import HuggingFaceForm, WeightSource
from inferstack.models.onnx.binding import (
    Input,
    Role,
    fixed_image,
    fixed_tokens,
    phases_of,
    read_inputs,
    shapes_of,
)
from inferstack.models.onnx.file import OnnxFile, open_onnx
from inferstack.models.onnx.parts import with_parts
from inferstack.models.onnx.program import Kind, Program
from inferstack.models.onnx.recovery import ANCHORS, Recovery
from inferstack.models.onnx.source import Stored, View
from inferstack.models.onnx.view import Atom, from_tensor, merged, plain
from inferstack.models.scenario import Phase, Scenario

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

SIDE_ROLES = (Role.IDS, Role.TOKEN_TYPES, Role.MASK, Role.SOURCE_MASK)
MOST_LISTED = 8
SAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recovered:
    """A graph of our operators out of a file.

    inputs: names of ours by the file's. outputs: by the file's names, how our tensors lie in them.
    left_out: outputs that follow from sizes and masks alone. unused: tensors of the file that the
    graph does not use. notes: what a reader should know.
    """

    graph: Graph
    inputs: Mapping[str, str]
    outputs: Mapping[str, View]
    left_out: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...]

    def told(self) -> tuple[str, ...]:
        """Notes, and what is in the file but not in the graph."""
        lists = {"tensors that the graph does not use": self.unused}
        lists["outputs that no weights stand behind"] = self.left_out
        return (
            *self.notes,
            *(f"{what}: {_listed(names)}" for what, names in lists.items() if names),
        )

    def as_onnx(self, name: str, results: Mapping[str, Array]) -> Array:
        """An output as the file lays it out, of the results of `execute`."""
        view = self.outputs[name]
        assert isinstance(view.source, Stored), "outputs are written"
        return from_tensor(view.axes, results[view.source.name])


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxModel:
    """An open file. image_size: height and width, of one that sees images."""

    file: OnnxFile
    inputs: tuple[Input, ...]
    image_size: int | None = None
    found: dict[tuple[Scenario, bool, int | None], Recovered] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """That of the file."""
        return self.file.path.stem

    @property
    def sizes(self) -> dict[str, int | str]:
        """What the file holds."""
        tensors = self.file.tensors.values()
        return {
            "opset": self.file.opset,
            "nodes": len(self.file.nodes),
            "tensors": len(tensors),
            "elements of tensors": sum(math.prod(tensor.shape) for tensor in tensors),
            "inputs": ", ".join(printable(i.port.name) for i in self.inputs[:MOST_LISTED]),
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know about the last pass that was recovered."""
        last = next(iter(self.found.values()), None)
        return () if last is None else last.told()

    @property
    def sees_tokens(self) -> bool:
        """Whether its input is a sequence."""
        return all(i.role is not Role.IMAGE for i in self.inputs)

    @property
    def usual_tokens(self) -> int | None:
        """The length of sequences, where the file says it."""
        return fixed_tokens(self.inputs)

    @cached_property
    def causal(self) -> bool:
        """Whether tokens see only earlier ones."""
        if not self.sees_tokens:
            return False
        tokens = self.usual_tokens or 8
        graph = self.recovered(Scenario.encode(tokens), valued=False).graph
        own = [o for o in graph.operators if o.kind == "softmax"]
        return bool(own) and any(o.attributes.get("causal") for o in own)

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """What it can do, the usual pass first."""
        cached = any(i.role is Role.CACHE for i in self.inputs)
        return phases_of(self.inputs, causal=cached or self.causal)

    def recovered(self, scenario: Scenario, *, valued: bool) -> Recovered:
        """The graph of a pass. Raises CheckpointError and InputError."""
        key = (scenario, valued, self.image_size)
        if key not in self.found:
            self.found.clear()
            self.found[key] = _Reader(self, scenario, valued=valued).recovered()
        return self.found[key]


class OnnxArchitecture:
    """See the module: a file is its own and only config, so that there are no presets."""

    presets: Mapping[str, OnnxModel] = {}
    hugging_face: HuggingFaceForm | None = None

    def __init__(self, model: OnnxModel) -> None:
        self.model = model

    @property
    def phases(self) -> tuple[Phase, ...]:
        """See `Architecture`."""
        return self.model.phases

    @property
    def sees_tokens(self) -> bool:
        """See `Architecture`."""
        return self.model.sees_tokens

    def build(
        self,
        name: str,
        config: OnnxModel,
        scenario: Scenario,
        weights: WeightSource,
        *,
        unrolled: bool,
        beyond_positions: bool = False,
    ) -> Graph:
        """See `Architecture`. Shapes alone: values come with `load_onnx`. Every layer stands by
        itself, as it does in the file."""
        return config.recovered(scenario, valued=False).graph


def open_model(path: Path) -> OnnxModel:
    """The model in a file; tensors are not read yet. Raises CheckpointError."""
    file = open_onnx(path)
    inputs = read_inputs(file)
    return OnnxModel(file=file, inputs=inputs, image_size=fixed_image(inputs))


def load_onnx(path: Path, scenario: Scenario) -> Recovered:
    """The model in a file with its weights, for one pass. Raises CheckpointError, naming file and
    node, InputError for a pass that the file cannot do."""
    return open_model(path).recovered(scenario, valued=True)


class _Reader:
    """Binds a file to a scenario, and recovers its graph."""

    def __init__(self, model: OnnxModel, scenario: Scenario, *, valued: bool) -> None:
        self.model, self.scenario = model, scenario
        shapes = shapes_of(model.file, model.inputs, scenario, model.image_size)
        side = {i.port.name: i.role.value for i in model.inputs if i.role in SIDE_ROLES}
        self.program = Program(
            model.file, shapes, frozenset(side), self._given(shapes), self._samples(shapes)
        )
        self.recovery = Recovery(
            model.name,
            self.program,
            side,
            first=scenario.context_tokens,
            cached=scenario.phase is Phase.DECODE or scenario.context_tokens > 0,
            valued=valued,
        )
        for one in model.inputs:
            self._declare(one, shapes[one.port.name])

    def _given(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        """Inputs whose values follow from the scenario."""
        import numpy as np

        found: dict[str, Array] = {}
        for one in self.model.inputs:
            shape = shapes[one.port.name]
            if one.role is Role.POSITIONS:
                places = np.arange(shape[1]) + self.scenario.context_tokens
                found[one.port.name] = np.broadcast_to(places, shape).astype(np.int64)
            if one.role is Role.CACHED:
                cached = self.scenario.phase is Phase.DECODE
                found[one.port.name] = np.full(shape, cached)
        return found

    def _samples(self, shapes: Mapping[str, tuple[int, ...]]) -> list[dict[str, Array]]:
        """Some ids and masks, to see what does not follow from them."""
        import numpy as np
        from onnx import helper

        generator = np.random.default_rng(0)
        found = []
        for _ in range(SAMPLES):
            sample = {}
            for one in self.model.inputs:
                if one.role in SIDE_ROLES:
                    most = 2 if "mask" in one.role.value else 6
                    values = generator.integers(0, most, shapes[one.port.name])
                    typed = helper.tensor_dtype_to_np_dtype(one.port.element)
                    sample[one.port.name] = values.astype(typed)
            found.append(sample)
        return found

    def _declare(self, one: Input, shape: tuple[int, ...]) -> None:
        builder, role = self.recovery.builder, one.role
        if role in SIDE_ROLES:
            builder.tensor(role.value, shape, DType.INT64, TensorRole.INPUT)
        elif role is Role.CACHE:
            self._declare_cache(one, shape)
        elif role not in (Role.POSITIONS, Role.CACHED):
            whole = (shape[0], shape[1], 1, shape[2]) if role is Role.SIGNAL else shape
            name = builder.tensor(role.value, whole, DType.FLOAT32, TensorRole.INPUT)
            axes = plain(whole)
            if role is Role.SIGNAL:
                axes = (*axes[:2], axes[3])
            source = Stored(name=name, shape=whole)
            self.recovery.found[one.port.name] = View(source=source, axes=axes)

    def _declare_cache(self, one: Input, shape: tuple[int, ...]) -> None:
        """(batch, heads, context, width) or (batch, context, heads, width)."""
        axes = one.port.axes or ()
        at = 1 if isinstance(axes[1], str) and not isinstance(axes[2], str) else 2
        batch, context, heads, width = shape[0], shape[at], shape[3 - at], shape[3]
        name = self.recovery.name(one.port.name)
        whole = (batch, context, heads * width)
        self.recovery.builder.tensor(name, whole, DType.FLOAT32, TensorRole.CACHE)
        atoms = [Atom(0, batch, 1), Atom(2, heads, width), Atom(1, context, 1), Atom(2, width, 1)]
        if at == 1:
            atoms[1], atoms[2] = atoms[2], atoms[1]
        source = Stored(name=name, shape=whole)
        view = View(source=source, axes=tuple(merged((atom,)) for atom in atoms))
        self.recovery.found[one.port.name] = view

    def recovered(self) -> Recovered:
        """From the outputs back."""
        file, program = self.model.file, self.program
        for port in file.outputs:
            program.fact(port.name)
        runs = [p.name for p in file.outputs if program.facts[p.name].kind is Kind.RUNTIME]
        if not runs:
            raise CheckpointError(str(file.path), "computes nothing from its inputs")
        self._anchors(runs)
        outputs: dict[str, View] = {}
        for name in runs:
            made, axes = self.recovery.stored(self.recovery.view(name))
            outputs[name] = View(source=made, axes=axes)
        graph = self._graph(outputs)
        return Recovered(
            graph=graph,
            inputs={i.port.name: _name_of(self.recovery, i) for i in self.model.inputs},
            outputs=outputs,
            left_out=tuple(p.name for p in file.outputs if p.name not in outputs),
            unused=self._unused(runs),
            notes=tuple(self.recovery.notes),
        )

    def _anchors(self, outputs: list[str]) -> None:
        """Asks for matmuls in the file's order, as far as outputs need them."""
        needed = self._needed(outputs, Kind.RUNTIME)
        for number in sorted(needed):
            node = self.program.nodes[number]
            fused = node.kind.startswith("com.microsoft.") and "Quant" not in node.kind
            if node.kind in ANCHORS or fused:
                self.recovery.value(node.outputs[0])

    def _graph(self, outputs: Mapping[str, View]) -> Graph:
        """Without what was written and is not read; its parts named."""
        names = dict.fromkeys(
            v.source.name for v in outputs.values() if isinstance(v.source, Stored)
        )
        builder = self.recovery.builder
        live, kept = set(names), []
        for operator in reversed(builder.operators):
            if operator.output in live:
                live |= set(operator.inputs.values())
                kept.append(operator)
        builder.operators = with_parts(kept[::-1], builder.tensors, tuple(names))
        made = {operator.output for operator in kept}
        fed = {role.value for role in SIDE_ROLES} | {Role.IMAGE.value}
        builder.tensors = {
            name: tensor
            for name, tensor in builder.tensors.items()
            if name in live | made or (tensor.role is TensorRole.INPUT and name in fed)
        }
        return builder.build(tuple(names))

    def _needed(self, outputs: list[str], least: Kind) -> set[int]:
        """The nodes that outputs follow from, by values of at least that kind."""
        facts, needed = self.program.facts, set[int]()
        waiting = list(outputs)
        while waiting:
            made = facts[waiting.pop()].node
            if made is not None and made not in needed:
                needed.add(made)
                names = (i for i in self.program.nodes[made].inputs if i)
                waiting += [i for i in names if facts[i].kind.value >= least.value]
        return needed

    def _unused(self, outputs: list[str]) -> tuple[str, ...]:
        """Tensors of the file from which no output follows."""
        needed = self._needed(outputs, Kind.KNOWN)
        used = {i for number in needed for i in self.program.nodes[number].inputs}
        return tuple(name for name in self.model.file.tensors if name not in used)


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(printable(name) for name in names[:MOST_LISTED])
    more = len(names) - MOST_LISTED
    return f"{shown} and {more:,} more" if more > 0 else shown


def _name_of(recovery: Recovery, one: Input) -> str:
    return recovery.name_of_cache(one.port.name) if one.role is Role.CACHE else one.role.value
