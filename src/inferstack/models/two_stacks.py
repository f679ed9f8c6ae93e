"""An encoder-decoder out of a Hugging Face folder: the graph of any pass, its weights read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.ir.graph import Graph
from inferstack.models.architecture import Architecture
from inferstack.models.checkpoint_weights import CheckpointWeights
from inferstack.models.description import EncoderDecoder
from inferstack.models.hugging_face import CONFIG, architecture_in, config_content
from inferstack.models.scenario import Scenario

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TwoStacks:
    """A model folder whose model has an encoder and a decoder."""

    name: str
    folder: Path
    description: EncoderDecoder
    _architecture: Architecture
    _weights: CheckpointWeights
    _held: dict[tuple[str, tuple[int, ...]], Array] = field(default_factory=dict)

    def graph(self, scenario: Scenario) -> Graph:
        """Of a pass; all share the same values. Raises CheckpointError, and InputError for a pass
        that the model cannot do."""
        graph = self._architecture.build(
            self.name, self.description, scenario, self._values, unrolled=True
        )
        self._weights.check_layers(self.description.depth)
        return graph

    def _values(self, name: str, shape: tuple[int, ...]) -> Array:
        if (name, shape) not in self._held:
            self._held[name, shape] = self._weights(name, shape)
        return self._held[name, shape]


def is_two_stacks(folder: Path) -> bool:
    """Whether config.json is of such a model. Raises CheckpointError."""
    return isinstance(_read(folder)[1], EncoderDecoder)


def load_two_stacks(folder: Path, *, hears: bool) -> TwoStacks:
    """hears: a signal is encoded, and no text. Raises CheckpointError, naming file and place."""
    architecture, config = _read(folder)
    if not isinstance(config, EncoderDecoder) or (config.encoder.signal is not None) != hears:
        need = "speech, such as Whisper" if hears else "text, such as T5 or BART"
        raise CheckpointError(
            str(folder / CONFIG), "is no model of that kind",
            got=printable(str(config_content(folder)["model_type"])),
            need=f"an encoder of {need}, with a decoder behind it",
        )  # fmt: skip
    form = architecture.hugging_face
    assert form is not None, "it was found by its config.json"
    return TwoStacks(
        name=folder.resolve().name,
        folder=folder,
        description=config,
        _architecture=architecture,
        _weights=CheckpointWeights.of_folder(
            folder, form.names(config), config_content(folder), straight=False
        ),
    )


def _read(folder: Path) -> tuple[Architecture, Any]:
    content = config_content(folder)
    where = str(folder / CONFIG)
    architecture, form = architecture_in(where, content)
    return architecture, form.read_config(where, content)
