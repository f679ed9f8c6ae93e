"""The files of weights of a model folder: one file, or several with an index.

Source: transformers, `save_pretrained`, for the index: {"weight_map": {tensor: file name}}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile, folder_file, read_object
from inferstack.models.safetensors_file import StoredTensor, open_safetensors
from inferstack.models.torch_file import open_torch

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

WEIGHTS = "model.safetensors"
MOST_FILES = 10_000
MOST_COUNTED = 20_000
"""Tensors whose sizes are added up; of DeepSeek-V3's 90,000 the configuration says them."""
LARGEST_INDEX_BYTES = 2**26
"""A mixture of experts names each of its tensors: DeepSeek-V3's index has 9 MB."""


class StoredShape(Protocol):
    """A tensor of a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As it stands there."""


class WeightFile(Protocol):
    """A file of weights in any format."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def tensors(self) -> Mapping[str, StoredShape]:
        """What it has, by name."""

    def float32(self, name: str) -> Array:
        """The values of a tensor. Raises CheckpointError."""


class RawFile(Protocol):
    """A file whose tensors may hold more than floating point."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def tensors(self) -> Mapping[str, StoredTensor]:
        """What it has, by name."""

    def float32(self, name: str) -> Array:
        """The values of a tensor of a floating-point type. Raises CheckpointError."""

    def stored(self, name: str) -> Array:
        """The values of a tensor as they stand there. Raises CheckpointError."""


def stored_files(folder: Path) -> dict[str, RawFile]:
    """The file of each tensor: safetensors, one or several; else torch's.

    Raises CheckpointError.
    """
    for name, opened in OPENERS.items():
        path = folder_file(folder, name)
        if path is not None:
            file = opened(path)
            return dict.fromkeys(file.tensors, file)
        index = read_object(folder, f"{name}.index.json", LARGEST_INDEX_BYTES)
        if index is not None:
            return _indexed(folder, f"{name}.index.json", index)
    raise CheckpointError(str(folder), f"has no {WEIGHTS}", need=" or ".join(OPENERS))


def is_soon_counted(folder: Path) -> bool:
    """Whether it has weights, and so few tensors that all headers are read in a moment."""
    for name in OPENERS:
        if folder_file(folder, name) is not None:
            return True
        index = read_object(folder, f"{name}.index.json", LARGEST_INDEX_BYTES)
        if index is not None:
            places = index.get("weight_map")
            return isinstance(places, dict) and len(places) <= MOST_COUNTED
    return False


def _indexed(folder: Path, index_name: str, index: Mapping[str, object]) -> dict[str, RawFile]:
    """The file of each tensor, as an index says."""
    places = ConfigFile(str(folder / index_name), index).value("weight_map")
    if not isinstance(places, dict) or not all(isinstance(v, str) for v in places.values()):
        raise CheckpointError(
            str(folder / index_name), "weight_map does not name a file per tensor"
        )
    names = sorted(set(places.values()))
    if len(names) > MOST_FILES:
        raise CheckpointError(str(folder / index_name), "names too many files", got=len(names))
    opened = {name: _part(folder, index_name, name) for name in names}
    for tensor, name in places.items():
        if tensor not in opened[name].tensors:
            raise CheckpointError(
                str(folder / index_name), "names a tensor that its file lacks",
                got=f"{printable(tensor)} in {printable(name)}",
            )  # fmt: skip
    return {tensor: opened[name] for tensor, name in places.items()}


def _part(folder: Path, index_name: str, name: str) -> RawFile:
    """One of several files, which stands in the folder itself."""
    whole = index_name.removesuffix(".index.json")
    ending = f".{whole.rpartition('.')[2]}"
    if Path(name).name != name or not name.endswith(ending) or not name.isprintable():
        raise CheckpointError(
            str(folder / index_name), f"names a file that is no {ending} file of the folder",
            got=printable(name),
        )  # fmt: skip
    path = folder_file(folder, name)
    if path is None:
        raise CheckpointError(str(folder), f"lacks the file {printable(name)}", need=index_name)
    return OPENERS[whole](path)


OPENERS: Mapping[str, Callable[[Path], RawFile]] = {
    WEIGHTS: open_safetensors,
    "pytorch_model.bin": open_torch,
}
"""By the name of the file that has all weights; the first that is there is read."""
