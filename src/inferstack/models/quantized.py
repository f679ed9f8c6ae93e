"""`QuantizationMethod`: how a `quant_method` of config.json stores weights, and their values.

A new method is one file of `models/quantization/` with a subclass, and an instance of it called
QUANTIZATION.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.errors import CheckpointError
from inferstack.core.plugins import discover
from inferstack.core.text import printable
from inferstack.core.units import ceil_div
from inferstack.models.config_file import ConfigFile
from inferstack.models.element_types import MANTISSAS, check_finite, stored_bits
from inferstack.models.safetensors_file import StoredTensor
from inferstack.models.stored_sizes import Quantized
from inferstack.models.weight_files import RawFile, WeightFile

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

KEY = "quantization_config"
SCALES = ("scale_inv", "scale")
"""What follows the name of a weight in that of its scales."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedWeight:
    """name, shape: of the weight that the model has. pieces: the tensors that it is made of.
    values: makes it, float32."""

    name: str
    shape: tuple[int, ...]
    pieces: tuple[str, ...]
    values: Callable[[], Array]


@dataclass(frozen=True, slots=True)
class StoredTensors:
    """All tensors of a folder, whatever file each is in. Every method raises CheckpointError."""

    files: Mapping[str, RawFile]

    def __contains__(self, name: object) -> bool:
        return name in self.files

    def ending(self, ending: str) -> list[str]:
        """What stands before that ending, of each tensor that has it."""
        return [name.removesuffix(ending) for name in self.files if name.endswith(ending)]

    def where(self, name: str) -> str:
        """For messages."""
        return f"{self.files[name].path}, tensor {printable(name)}"

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """Of so many axes."""
        shape = self._there(name).shape
        if len(shape) != axes or 0 in shape:
            raise CheckpointError(
                self.where(name), "has a wrong shape", got=shape, need=f"{axes} axes"
            )
        return shape

    def check(self, name: str, *shapes: tuple[int, ...]) -> None:
        """That it has one of these shapes."""
        if self._there(name).shape not in shapes:
            need = " or ".join(map(str, shapes))
            raise CheckpointError(
                self.where(name), "has a wrong shape", got=self._there(name).shape, need=need
            )

    def stored(self, name: str, *kinds: str) -> Array:
        """The values as they stand there, of one of these types."""
        if (got := self._there(name).stored_type) not in kinds:
            need = f"one of {', '.join(kinds)}"
            raise CheckpointError(self.where(name), "has another type", got=got, need=need)
        return self.files[name].stored(name)

    def float32(self, name: str) -> Array:
        """The values of a tensor of floating point."""
        self._there(name)
        return self.files[name].float32(name)

    def kind(self, name: str) -> str:
        """Its type."""
        return self._there(name).stored_type

    def size_bytes(self, name: str) -> int:
        """In the file."""
        tensor = self._there(name)
        return ceil_div(math.prod(tensor.shape) * stored_bits(tensor.stored_type), 8)

    def _there(self, name: str) -> StoredTensor:
        if name not in self.files:
            paths = sorted({str(file.path) for file in self.files.values()})
            raise CheckpointError(
                paths[0] if len(paths) == 1 else str(Path(paths[0]).parent),
                f"lacks the tensor '{printable(name, 200)}'",
                need="what quantization_config of config.json says",
            )
        return self.files[name].tensors[name]


class QuantizationMethod(ABC):
    """See the module. methods: values of quant_method that it reads."""

    methods: ClassVar[frozenset[str]]

    @abstractmethod
    def counted(self, config: ConfigFile) -> Quantized:
        """The bytes that quantization_config alone says. Raises CheckpointError."""

    @abstractmethod
    def weights(self, config: ConfigFile, tensors: StoredTensors) -> Iterable[QuantizedWeight]:
        """The quantized ones of a folder; the others are as they are. Raises CheckpointError for a
        variant that is not read, by name."""


@cache
def quantization_methods() -> Mapping[str, QuantizationMethod]:
    """By quant_method."""
    from inferstack.models import quantization

    found = discover(quantization, "QUANTIZATION").values()
    return {name: method for method in found for name in sorted(method.methods)}


def method_in(
    where: str, content: Mapping[str, object]
) -> tuple[QuantizationMethod, ConfigFile] | None:
    """The method of a config.json and what it says; None where weights are as they are.

    Raises CheckpointError for one that is not known.
    """
    said = ConfigFile(where, content).optional(KEY, None)
    if said is None:
        return None
    if not isinstance(said, dict):
        raise CheckpointError(where, f"{KEY} is not a JSON object")
    config = ConfigFile(f"{where}, {KEY}", said)
    name, known = config.text("quant_method"), quantization_methods()
    if name not in known:
        raise CheckpointError(
            config.where, "this quant_method is not read", got=printable(name),
            need=f"one of {', '.join(sorted(known))}",
            hint=f"to count the model anyway, remove {KEY} from a copy of the folder",
        )  # fmt: skip
    return known[name], config


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    shape: tuple[int, ...]


class _Decoded:
    """The quantized weights of a folder as a file."""

    def __init__(self, path: Path, weights: Iterable[QuantizedWeight]) -> None:
        self.path = path
        self.weights = {weight.name: weight for weight in weights}
        self.tensors = {name: _Shape(shape=one.shape) for name, one in self.weights.items()}

    def float32(self, name: str) -> Array:
        """Its values. Raises CheckpointError."""
        import numpy as np

        with np.errstate(all="ignore"):
            values = self.weights[name].values()
        check_finite(f"{self.path}, tensor {printable(name)}", values)
        return values


def check_plain(files: Mapping[str, RawFile]) -> None:
    """Raises CheckpointError for 8-bit floats with scales where config.json names no method."""
    for name, file in files.items():
        if file.tensors[name].stored_type in MANTISSAS:
            scale = next((f"{name}_{end}" for end in SCALES if f"{name}_{end}" in files), None)
            if scale is not None:
                raise CheckpointError(
                    f"{file.path}, tensor {printable(scale)}",
                    f"is a scale, and config.json has no {KEY}",
                    need=f"the {KEY} that belongs to the weights",
                )


def decoded(
    files: Mapping[str, RawFile], method: QuantizationMethod, config: ConfigFile
) -> dict[str, WeightFile]:
    """The file of each weight, quantized ones in place of their pieces. Raises CheckpointError."""
    weights = list(method.weights(config, StoredTensors(files)))
    pieces = {piece for weight in weights for piece in weight.pieces}
    found: dict[str, WeightFile] = {n: file for n, file in files.items() if n not in pieces}
    by_path: dict[Path, list[QuantizedWeight]] = {}
    for weight in weights:
        by_path.setdefault(files[weight.pieces[0]].path, []).append(weight)
    for path, several in by_path.items():
        file = _Decoded(path, several)
        found |= dict.fromkeys(file.weights, file)
    return found


def sizes(
    files: Mapping[str, RawFile], method: QuantizationMethod, config: ConfigFile
) -> Iterable[tuple[str, tuple[int, ...], int]]:
    """Name, shape and bytes of each weight in the files. Raises CheckpointError."""
    tensors = StoredTensors(files)
    weights = list(method.weights(config, tensors))
    pieces = {piece for weight in weights for piece in weight.pieces}
    for weight in weights:
        yield weight.name, weight.shape, sum(map(tensors.size_bytes, weight.pieces))
    for name, file in files.items():
        if name not in pieces:
            yield name, file.tensors[name].shape, tensors.size_bytes(name)


def group_size(config: ConfigFile, absent: int = 128) -> int | None:
    """Inputs that share a scale; -1 is all."""
    if config.optional("group_size", absent) == -1:
        return None
    return config.whole_or("group_size", absent, 2**16)
