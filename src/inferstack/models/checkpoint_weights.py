"""The weights of a model folder as a `WeightSource`: one file, or several with an index.

Source: transformers, `save_pretrained`, for the index: {"weight_map": {tensor: file name}}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile, folder_file, read_object
from inferstack.models.names import EXPERT, Names, Stacks, StoredWeight, length_of
from inferstack.models.safetensors_file import open_safetensors
from inferstack.models.torch_file import open_torch

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

WEIGHTS = "model.safetensors"
MOST_FILES = 10_000
MOST_SHOWN = 3


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


class CheckpointWeights:
    """Values by the graph's names; remembers which tensors of the file were asked for."""

    def __init__(
        self,
        folder: Path,
        names: Names | Stacks,
        *,
        straight: bool = True,
        files: Mapping[str, WeightFile] | None = None,
        described_by: str = "config.json",
    ) -> None:
        """straight: values in C order; else as the file has them, which is without a copy. files:
        the file of each tensor, where they are no safetensors files of the folder. described_by:
        what says the shapes, for messages."""
        self.folder, self.names, self.straight = folder, names, straight
        self.described_by = described_by
        self._fused: dict[str, tuple[str, Array]] = {}
        self.files: Mapping[str, WeightFile] = _files(folder) if files is None else files
        self.asked: set[str] = set()

    def __call__(self, name: str, shape: tuple[int, ...]) -> Array:
        """The values of the weight that the graph calls `name`. Raises CheckpointError."""
        import numpy as np

        place = self.names.stored(name)
        if EXPERT not in place.names[0]:
            return self._values(place, shape)
        return np.stack([self._values(_of_expert(place, e), shape[1:]) for e in range(shape[0])])

    def _values(self, place: StoredWeight, shape: tuple[int, ...]) -> Array:
        import numpy as np

        stored = self._stored_name(place)
        self.asked.add(stored)
        file = self.files[stored]
        as_stored = (*shape[:-2], *shape[:-3:-1]) if place.transposed else shape
        # Where the outputs stand, of which there may be more in the tensor.
        axis = len(shape) - 2 if place.transposed else len(shape) - 1
        needed = as_stored
        if place.part is not None:
            needed = (*as_stored[:axis], place.part.outputs, *as_stored[axis + 1 :])
        got = file.tensors[stored].shape
        by_heads = needed if place.heads is None else (*needed[:-1], *place.heads)
        if bare(got) not in (bare(needed), bare(by_heads)):
            raise CheckpointError(
                f"{file.path}, tensor {printable(stored)}",
                f"has another shape than {self.described_by} says",
                got=got,
                need=needed,
            )
        values = self._whole(stored, place).reshape(needed)
        if place.part is not None:
            values = np.moveaxis(place.part.of(np.moveaxis(values, axis, 0)), 0, axis)
        if place.offset:
            values = values + np.float32(place.offset)
        if not place.transposed:
            return values
        turned = values.swapaxes(-1, -2)
        return np.ascontiguousarray(turned) if self.straight else turned

    def _whole(self, stored: str, place: StoredWeight) -> Array:
        """A tensor; one that holds several weights is kept until the next of its slot."""
        if place.part is None:
            return self._joined(stored, place)
        slot = stored.rpartition(".")[2]
        if self._fused.get(slot, ("",))[0] != stored:
            self._fused[slot] = (stored, self._joined(stored, place))
        return self._fused[slot][1]

    def _joined(self, stored: str, place: StoredWeight) -> Array:
        """The tensor; its length is multiplied in where it is a direction alone."""
        import numpy as np

        values = self.files[stored].float32(stored)
        length = length_of(stored) if place.split else None
        if length is None:
            return values
        if length not in self.files:
            raise CheckpointError(self._where, f"lacks the tensor {length!r}", got=stored)
        self.asked.add(length)
        file, own = self.files[length], values.shape[-1:]
        if bare(file.tensors[length].shape) != bare(own):
            raise CheckpointError(
                f"{file.path}, tensor {printable(length)}",
                "is no length for each of the last axis",
                got=file.tensors[length].shape,
                need=own,
            )
        square = np.square(values).sum(axis=tuple(range(values.ndim - 1)))
        with np.errstate(divide="ignore", invalid="ignore"):  # as torch has it
            joined: Array = values * (file.float32(length).reshape(own) / np.sqrt(square))
        return joined

    def _stored_name(self, place: StoredWeight) -> str:
        for prefix in self.names.prefixes:
            for name in place.names:
                if prefix + name in self.files:
                    return prefix + name
        raise CheckpointError(
            self._where,
            f"lacks the tensor {place.names[0]!r}",
            got=f"{len(self.files):,} tensors with other names",
            hint=f"{self.described_by} and the weights belong to different models",
        )

    @property
    def _where(self) -> str:
        """The file, or the folder of several."""
        paths = {file.path for file in self.files.values()}
        return str(paths.pop() if len(paths) == 1 else self.folder)

    @property
    def unused(self) -> tuple[str, ...]:
        """Tensors of the folder that the graph has not asked for."""
        return tuple(sorted(set(self.files) - self.asked))

    def check_all_read(self) -> None:
        """Raises CheckpointError for tensors that the graph has not asked for."""
        if unused := self.unused:
            got = ", ".join(printable(name) for name in unused[:MOST_SHOWN])
            more = f" and {len(unused) - MOST_SHOWN:,} more" if len(unused) > MOST_SHOWN else ""
            raise CheckpointError(
                self._where, "has tensors that the model does not read", got=got + more,
                hint="they could change the result",
            )  # fmt: skip

    def check_layers(self, depth: int) -> None:
        """Raises CheckpointError for a layer in the file that the model does not have."""
        for name in self.unused:
            number = self.names.layer_of(name)
            if number is not None and number >= depth:
                raise CheckpointError(
                    self._where,
                    f"has weights of more layers than {self.described_by} says",
                    got=f"tensor {printable(name)}",
                    need=f"layers 0 to {depth - 1}",
                )


def bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without axes of one: a kernel of one row may stand as one of a signal, a number as a row."""
    return tuple(size for size in shape if size != 1)


def _of_expert(place: StoredWeight, number: int) -> StoredWeight:
    return replace(place, names=tuple(n.replace(EXPERT, str(number)) for n in place.names))


def _files(folder: Path) -> dict[str, WeightFile]:
    """The file of each tensor: safetensors, one or several; else torch's."""
    for name, opened in OPENERS.items():
        path = folder_file(folder, name)
        if path is not None:
            file = opened(path)
            return dict.fromkeys(file.tensors, file)
        index = read_object(folder, f"{name}.index.json")
        if index is not None:
            return _indexed(folder, f"{name}.index.json", index)
    raise CheckpointError(str(folder), f"has no {WEIGHTS}", need=" or ".join(OPENERS))


def _indexed(folder: Path, index_name: str, index: Mapping[str, object]) -> dict[str, WeightFile]:
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


def _part(folder: Path, index_name: str, name: str) -> WeightFile:
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


OPENERS: Mapping[str, Callable[[Path], WeightFile]] = {
    WEIGHTS: open_safetensors,
    "pytorch_model.bin": open_torch,
}
"""By the name of the file that has all weights; the first that is there is read."""
