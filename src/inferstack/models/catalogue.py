"""All models by name, with their parameters, counted from their graphs."""

from __future__ import annotations

from dataclasses import dataclass

from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.architecture import Architecture, architecture_of, build, preset_names
from inferstack.models.named import named_models
from inferstack.models.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A named model. model_type: as in config.json, or the architecture's own name."""

    name: str
    model_type: str
    parameters: int
    source: str


def catalogue() -> tuple[Entry, ...]:
    """Every name that can be built, by type and size."""
    named = {model.name: model for model in named_models()}
    found = []
    for name in preset_names():
        architecture, _ = architecture_of(name)
        model = named.get(name)
        found.append(
            Entry(
                name=name,
                model_type=str(model.config["model_type"]) if model else _own_name(architecture),
                parameters=parameters_of(name),
                source=model.source if model else _source(architecture),
            )
        )
    return tuple(sorted(found, key=lambda entry: (entry.model_type, entry.parameters)))


def parameters_of(name: str) -> int:
    """Elements of all weights, shared ones once, of all stacks."""
    architecture, _ = architecture_of(name)
    sizes: dict[str, int] = {}
    for phase in architecture.phases:
        graph = build(name, Scenario(phase=phase, batch=1, new_tokens=1))
        times = _times(graph)
        for tensor in graph.tensors.values():
            if tensor.role is TensorRole.WEIGHT:
                sizes[tensor.name] = tensor.elements * times.get(tensor.name, 1)
    return sum(sizes.values())


def _times(graph: Graph) -> dict[str, int]:
    """How many of a weight the model has, where one layer stands for several."""
    return {
        name: 1 if name in graph.shared else graph.repeat(operator)
        for operator in graph.operators
        for name in operator.inputs.values()
    }


def _own_name(architecture: Architecture) -> str:
    return type(architecture).__module__.rpartition(".")[2]


def _source(architecture: Architecture) -> str:
    """The last paragraph of its file's docstring says it."""
    import sys

    said = sys.modules[type(architecture).__module__].__doc__ or ""
    return " ".join(said.partition("Source: ")[2].split()).rstrip(".")
