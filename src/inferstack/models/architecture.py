"""`Architecture`: what a file of this folder offers as `ARCHITECTURE`; `build`: a model by name.

A file in this folder that defines `ARCHITECTURE` is found by being there; packages from outside
add theirs through the entry-point group `inferstack.models`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

import inferstack.models.families
from inferstack.core.errors import UnknownNameError
from inferstack.core.plugins import discover
from inferstack.ir.graph import Graph
from inferstack.models.names import Names, Stacks
from inferstack.models.scenario import Phase, Scenario

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

WeightSource = Callable[[str, tuple[int, ...]], "Array | None"]
"""The values of a weight by its name in the graph and its shape; None in a shape-only graph."""


class HuggingFaceForm(Protocol):
    """How an architecture is written in a Hugging Face folder."""

    @property
    def model_types(self) -> frozenset[str]:
        """The values of `model_type` in config.json that this reads."""

    @property
    def reads_weights(self) -> bool:
        """Whether `load_checkpoint` can read such a model; else only its config is read."""

    def read_config(self, where: str, content: Mapping[str, object]) -> Any:
        """The architecture's config of config.json's content. Raises CheckpointError."""

    def names(self, config: Any) -> Names | Stacks:
        """What the file calls the weights."""


class Architecture(Protocol):
    """A family of models: named configurations, and the graph of any of them."""

    @property
    def presets(self) -> Mapping[str, Any]:
        """Configurations by the name under which people know the model."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that it can do, the usual one first."""

    @property
    def sees_tokens(self) -> bool:
        """Whether its input is a sequence of tokens. Else it is an image, and `new_tokens` 1."""

    @property
    def hugging_face(self) -> HuggingFaceForm | None:
        """How to read a Hugging Face folder; None where there is none."""

    def build(
        self,
        name: str,
        config: Any,
        scenario: Scenario,
        weights: WeightSource,
        *,
        unrolled: bool,
        beyond_positions: bool = False,
    ) -> Graph:
        """The graph called `name`.

        unrolled: every layer by itself, for running; else one layer of each kind with `repeats`.
        beyond_positions: a sequence longer than the position table gets a longer table; else it
        raises InputError, as does a scenario that the architecture does not know.
        """


@cache
def architectures() -> dict[str, Architecture]:
    """All architectures by file name."""
    found = discover(inferstack.models, "ARCHITECTURE")
    return found | discover(inferstack.models.families, "ARCHITECTURE")


def architecture_of(name: str) -> tuple[Architecture, Any]:
    """The architecture and the configuration of a preset. Raises UnknownNameError."""
    for architecture in architectures().values():
        if name in architecture.presets:
            return architecture, architecture.presets[name]
    raise UnknownNameError("model", "architecture", name, preset_names())


def preset_names() -> tuple[str, ...]:
    """The names that `build` knows."""
    return tuple(sorted(n for family in architectures().values() for n in family.presets))


def build(
    name: str,
    scenario: Scenario,
    *,
    weights: Literal["none", "random"] = "none",
    seed: int = 0,
    unrolled: bool | None = None,
    beyond_positions: bool = False,
) -> Graph:
    """The model called `name`, without values or with random ones drawn from `seed`.

    unrolled: by default only with weights: a graph without values holds one layer of each kind,
    and how often it occurs. beyond_positions: see `Architecture.build`.
    Raises UnknownNameError, and InputError where the model cannot do the scenario.
    """
    architecture, config = architecture_of(name)
    source = random_weights(seed) if weights == "random" else no_weights
    return architecture.build(
        name,
        config,
        scenario,
        source,
        unrolled=weights != "none" if unrolled is None else unrolled,
        beyond_positions=beyond_positions,
    )


def no_weights(name: str, shape: tuple[int, ...]) -> None:
    """The source of a shape-only graph."""


def random_weights(seed: int) -> WeightSource:
    """Normal float32 values, sigma 0.02 (BERT's initialisation); gamma and variance are around 1.

    A weight depends on seed and name alone, not on the order in which weights are asked for.
    """

    def draw(name: str, shape: tuple[int, ...]) -> Array:
        import numpy as np

        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        values = generator.standard_normal(shape, dtype=np.float32)
        values *= np.float32(0.02)
        if name.endswith((".gamma", ".variance")):
            values += np.float32(1)
        return values

    return draw
