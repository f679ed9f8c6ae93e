"""`Family`: what a file of `models/families/` says: its config.json in our words, and its names.

A new family is a subclass with `model_types`, `describe` and `names`, and an instance of it called
ARCHITECTURE. Graph, counts, weights, phases and presets follow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Generic, TypeVar

from inferstack.ir.graph import Graph
from inferstack.models.architecture import HuggingFaceForm, WeightSource
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Description, EncoderDecoder
from inferstack.models.named import configs_of
from inferstack.models.names import DECODER_STACK, Names, Stacks
from inferstack.models.pair import Towers
from inferstack.models.scenario import Phase, Scenario
from inferstack.models.towers import towers
from inferstack.models.transformer import transformer

Config = TypeVar("Config", Description, EncoderDecoder, Towers)

ENCODER: tuple[Phase, ...] = (Phase.ENCODE,)
DECODER: tuple[Phase, ...] = (Phase.PREFILL, Phase.DECODE)


class _Described(ABC, Generic[Config]):
    """An architecture that is read from config.json, its presets too."""

    model_types: ClassVar[frozenset[str]]
    phases: tuple[Phase, ...]
    sees_tokens = True
    reads_weights = True

    @abstractmethod
    def describe(self, file: ConfigFile) -> Config:
        """The model of a config.json; refuses what it would have to ignore (CheckpointError)."""

    @property
    def hugging_face(self) -> HuggingFaceForm | None:
        """The family reads its own folders."""
        return self

    @abstractmethod
    def names(self, description: Config) -> Names | Stacks:
        """What the file calls the weights."""

    @cached_property
    def presets(self) -> Mapping[str, Config]:
        """The models that people know by a name: see `models.named`."""
        return {
            name: self.describe(ConfigFile(name, config))
            for name, config in configs_of(self.model_types).items()
        }

    def read_config(self, where: str, content: Mapping[str, object]) -> Config:
        """See `HuggingFaceForm`."""
        return self.describe(ConfigFile(where, content))


class Family(_Described[Description]):
    """Transformers that one description fits."""

    phases = DECODER

    @abstractmethod
    def names(self, description: Description) -> Names:
        """What the file calls the weights."""

    def build(
        self,
        name: str,
        config: Description,
        scenario: Scenario,
        weights: WeightSource,
        *,
        unrolled: bool,
        beyond_positions: bool = False,
    ) -> Graph:
        """See `Architecture`."""
        return transformer(
            name,
            config,
            scenario,
            weights,
            unrolled=unrolled,
            beyond_positions=beyond_positions,
        )


class EncoderDecoderFamily(_Described[EncoderDecoder]):
    """Models of two stacks. The encoder encodes; prompt and steps are the decoder's."""

    phases = (*DECODER, *ENCODER)

    @abstractmethod
    def names(self, description: EncoderDecoder) -> Stacks:
        """What the file calls the weights of both."""

    def build(
        self,
        name: str,
        config: EncoderDecoder,
        scenario: Scenario,
        weights: WeightSource,
        *,
        unrolled: bool,
        beyond_positions: bool = False,
    ) -> Graph:
        """See `Architecture`."""
        encodes = scenario.phase is Phase.ENCODE
        return transformer(
            name,
            config.encoder if encodes else config.decoder,
            scenario,
            weights,
            unrolled=unrolled,
            beyond_positions=beyond_positions,
            stack="" if encodes else DECODER_STACK,
        )


class TowersFamily(_Described[Towers]):
    """Models of a stack for texts and one for images, run side by side."""

    phases = ENCODER

    @abstractmethod
    def names(self, description: Towers) -> Stacks:
        """What the file calls the weights of both."""

    def build(
        self,
        name: str,
        config: Towers,
        scenario: Scenario,
        weights: WeightSource,
        *,
        unrolled: bool,
        beyond_positions: bool = False,
    ) -> Graph:
        """See `Architecture`."""
        return towers(
            name,
            config,
            scenario,
            weights,
            unrolled=unrolled,
            beyond_positions=beyond_positions,
        )
