"""The weights of a model folder as a `WeightSource`: one safetensors file, or an index of several.

Source: transformers, `save_pretrained`, for the index: {"weight_map": {tensor: file name}}.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile, folder_file, read_object
from inferstack.models.names import Names, Stacks, StoredWeight
from inferstack.models.safetensors_file import SafetensorsFile, open_safetensors

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
MOST_FILES = 10_000
EXPERT = "{e}"
"""In a name: the number of an expert, or of a head."""


class CheckpointWeights:
    """Values by the graph's names; remembers which tensors of the file were asked for."""

    def __init__(self, folder: Path, names: Names | Stacks) -> None:
        self.folder, self.names = folder, names
        self.files = _files(folder)
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
        if _bare(got) != _bare(needed) and got != by_heads:
            raise CheckpointError(
                f"{file.path}, tensor {printable(stored)}",
                "has another shape than config.json says",
                got=got,
                need=needed,
            )
        values = file.float32(stored).reshape(needed)
        if place.part is not None:
            values = np.moveaxis(place.part.of(np.moveaxis(values, axis, 0)), 0, axis)
        if place.offset:
            values = values + np.float32(place.offset)
        return np.ascontiguousarray(values.swapaxes(-1, -2)) if place.transposed else values

    def _stored_name(self, place: StoredWeight) -> str:
        for prefix in self.names.prefixes:
            for name in place.names:
                if prefix + name in self.files:
                    return prefix + name
        raise CheckpointError(
            self._where,
            f"lacks the tensor {place.names[0]!r}",
            got=f"{len(self.files):,} tensors with other names",
            hint="config.json and model.safetensors belong to different models",
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

    def check_layers(self, depth: int) -> None:
        """Raises CheckpointError for a layer in the file that config.json does not have."""
        for name in self.unused:
            number = self.names.layer_of(name)
            if number is not None and number >= depth:
                raise CheckpointError(
                    self._where,
                    "has weights of more layers than config.json says",
                    got=f"tensor {printable(name)}",
                    need=f"layers 0 to {depth - 1}",
                )


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without leading axes of one."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _of_expert(place: StoredWeight, number: int) -> StoredWeight:
    return replace(place, names=tuple(n.replace(EXPERT, str(number)) for n in place.names))


def _files(folder: Path) -> dict[str, SafetensorsFile]:
    """The file of each tensor."""
    path = folder_file(folder, WEIGHTS)
    if path is not None:
        file = open_safetensors(path)
        return dict.fromkeys(file.tensors, file)
    index = read_object(folder, INDEX)
    if index is None:
        raise CheckpointError(str(folder), f"has no {WEIGHTS}", hint=_hint(folder))
    places = ConfigFile(str(folder / INDEX), index).value("weight_map")
    if not isinstance(places, dict) or not all(isinstance(v, str) for v in places.values()):
        raise CheckpointError(str(folder / INDEX), "weight_map does not name a file per tensor")
    names = sorted(set(places.values()))
    if len(names) > MOST_FILES:
        raise CheckpointError(str(folder / INDEX), "names too many files", got=len(names))
    opened = {name: _part(folder, name) for name in names}
    for tensor, name in places.items():
        if tensor not in opened[name].tensors:
            raise CheckpointError(
                str(folder / INDEX), "names a tensor that its file lacks",
                got=f"{printable(tensor)} in {printable(name)}",
            )  # fmt: skip
    return {tensor: opened[name] for tensor, name in places.items()}


def _part(folder: Path, name: str) -> SafetensorsFile:
    """One of several files, which stands in the folder itself."""
    if Path(name).name != name or not name.endswith(".safetensors") or not name.isprintable():
        raise CheckpointError(
            str(folder / INDEX), "names a file that is no safetensors file of the folder",
            got=printable(name),
        )  # fmt: skip
    path = folder_file(folder, name)
    if path is None:
        raise CheckpointError(str(folder), f"lacks the file {printable(name)}", need=INDEX)
    return open_safetensors(path)


def _hint(folder: Path) -> str | None:
    if (folder / "pytorch_model.bin").exists():
        return (
            "pytorch_model.bin is a program, not data; save_pretrained(folder) of transformers "
            f"writes {WEIGHTS}"
        )
    return None
