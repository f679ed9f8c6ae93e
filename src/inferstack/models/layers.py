"""Layers by themselves: what users of mappers give, from flags or from files of other tools.

LayerSet(specs) -> one graph with every layer on inputs of its own
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Protocol

from inferstack.core.dtypes import DType
from inferstack.core.errors import InputError
from inferstack.core.foreign import recognised
from inferstack.core.plugins import discover
from inferstack.ir.graph import Graph, TensorRole
from inferstack.models.architecture import HuggingFaceForm, WeightSource
from inferstack.models.blocks import BlockBuilder
from inferstack.models.layer_spec import LayerSpec, parsed
from inferstack.models.scenario import Phase, Scenario

ENDINGS = (".csv", ".yaml", ".yml")
LARGEST_FILE_BYTES = 2**22
MOST_LAYERS = 10_000
LONGEST_NAME = 80


class LayerFormat(Protocol):
    """One format of a file of layers."""

    @property
    def title(self) -> str:
        """What it is called, for a message: "a SCALE-Sim topology (CSV)"."""

    def recognises(self, path: Path, text: str) -> bool:
        """Whether the file looks like this format, right or wrong."""

    def read(self, path: Path, text: str) -> tuple[LayerSpec, ...]:
        """Its layers. Raises InputError with the place of the first mistake."""


@cache
def formats() -> dict[str, LayerFormat]:
    """All formats by file name."""
    from inferstack.models import layer_files

    return discover(layer_files, "FORMAT")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSet:
    """Layers as a model. read_as: what they were read as."""

    layers: tuple[LayerSpec, ...]
    read_as: str


class LayersArchitecture:
    """See the module: no presets, as layers come from the user alone."""

    presets: Mapping[str, LayerSet] = {}
    phases: tuple[Phase, ...] = (Phase.ENCODE,)
    sees_tokens = False
    hugging_face: HuggingFaceForm | None = None

    def build(
        self,
        name: str,
        config: LayerSet,
        scenario: Scenario,
        weights: WeightSource,
        *,
        unrolled: bool,
        beyond_positions: bool = False,
    ) -> Graph:
        """See `Architecture`. The scenario's batch multiplies that of convolutions and m."""
        builder = BlockBuilder(name, weights)
        outputs = []
        for spec in config.layers:
            builder.repeats = spec.count
            make = _matmul if spec.kind == "matmul" else _convolution
            outputs.append(make(builder, spec, scenario.batch))
        return builder.builder.build(tuple(outputs))


def _matmul(builder: BlockBuilder, spec: LayerSpec, batch: int) -> str:
    m, k, n = (spec.sizes[key] for key in ("m", "k", "n"))
    source = f"{spec.name}:input"
    builder.builder.tensor(source, (batch, m, k), DType.FLOAT32, TensorRole.INPUT)
    inputs = {"a": source, "b": builder.weight(f"{spec.name}:weight", k, n)}
    return builder.add("matmul", spec.name, inputs, part="layer")


def _convolution(builder: BlockBuilder, spec: LayerSpec, batch: int) -> str:
    of = spec.sizes
    source = f"{spec.name}:input"
    shape = (batch * of["batch"], of["c"], of["h"], of["w"])
    builder.builder.tensor(source, shape, DType.FLOAT32, TensorRole.INPUT)
    kernel = (of["n"], of["c"] // of["groups"], of["r"], of["s"])
    inputs = {"x": source, "weight": builder.weight(f"{spec.name}:weight", *kernel)}
    attributes = {key: of[key] for key in ("stride", "padding", "dilation", "groups")}
    return builder.add("conv2d", spec.name, inputs, attributes, part="layer")


def is_layer_file(name: str) -> bool:
    """Whether a name is the path of a file that can hold layers."""
    return name.lower().endswith(ENDINGS) and Path(name).is_file()


def read_layers(path: Path) -> LayerSet:
    """The layers of a file in any format. Raises InputError that lists what is read."""
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise InputError(
                str(path), "is too long for a file of layers", need=f"{LARGEST_FILE_BYTES:,} bytes"
            )
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as failure:
        raise InputError(str(path), "cannot be read as text", got=type(failure).__name__) from None
    for form in formats().values():
        if form.recognises(path, text):
            return LayerSet(layers=_checked(str(path), form.read(path, text)), read_as=form.title)
    titles = "; ".join(form.title for form in formats().values())
    known = recognised(path)
    raise InputError(
        str(path), "is no file of layers that is known",
        got=None if known is None else known.what, need=titles,
        hint=None if known is None else known.instead,
    )  # fmt: skip


def layers_of(texts: Sequence[str]) -> LayerSet:
    """The layers of `--layer` flags."""
    specs = tuple(parsed(text, number) for number, text in enumerate(texts))
    return LayerSet(layers=_checked("--layer", specs), read_as="--layer")


def _checked(where: str, layers: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
    """Names once each, fit for a file's name; at least one layer."""
    layers = tuple(replace(spec, name=_plain(spec.name, n)) for n, spec in enumerate(layers))
    if not layers:
        raise InputError(where, "has no layers")
    if len(layers) > MOST_LAYERS:
        raise InputError(where, "has too many layers", got=len(layers), need=f"{MOST_LAYERS:,}")
    seen: set[str] = set()
    for spec in layers:
        if spec.name in seen:
            raise InputError(where, "two layers share a name", got=spec.name)
        seen.add(spec.name)
    return layers


def _plain(name: str, number: int) -> str:
    """A name that cannot lead out of a folder: mappings are files called by it."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._")[:LONGEST_NAME] or f"layer{number}"


ARCHITECTURE = LayersArchitecture()
