"""All models by name, with their parameters, counted from their graphs."""

from __future__ import annotations

from dataclasses import dataclass

from inferstack.core.errors import UnknownNameError
from inferstack.ir.graph import TensorRole
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


def catalogue(model_type: str | None = None) -> tuple[Entry, ...]:
    """Every name that can be built, by type and size; those of one type alone where it is said.
    Raises UnknownNameError for a type without names."""
    named = {model.name: model for model in named_models()}
    types: dict[str, str] = {}
    for name in preset_names():
        model = named.get(name)
        own = str(model.config["model_type"]) if model else _own_name(architecture_of(name)[0])
        types[name] = own
    if model_type is not None and model_type not in types.values():
        known = set(types.values())
        raise UnknownNameError(
            "--type", "model type", model_type, known, listed_by="inferstack models"
        )
    found = [
        Entry(
            name=name,
            model_type=own,
            parameters=parameters_of(name),
            source=named[name].source if name in named else _source(architecture_of(name)[0]),
        )
        for name, own in types.items()
        if model_type in (None, own)
    ]
    return tuple(sorted(found, key=lambda entry: (entry.model_type, entry.parameters)))


def parameters_of(name: str) -> int:
    """Elements of all weights, shared ones once, of all stacks."""
    architecture, _ = architecture_of(name)
    sizes: dict[str, int] = {}
    for phase in architecture.phases:
        graph = build(name, Scenario(phase=phase, batch=1, new_tokens=1))
        copies = graph.copies()
        for tensor in graph.tensors.values():
            if tensor.role is TensorRole.WEIGHT:
                sizes[tensor.name] = tensor.elements * copies[tensor.name]
    return sum(sizes.values())


def _own_name(architecture: Architecture) -> str:
    return type(architecture).__module__.rpartition(".")[2]


def _source(architecture: Architecture) -> str:
    """The last paragraph of its file's docstring says it."""
    import sys

    said = sys.modules[type(architecture).__module__].__doc__ or ""
    return " ".join(said.partition("Source: ")[2].split()).rstrip(".")
