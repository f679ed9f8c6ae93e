"""The weights of a model folder as a `WeightSource`: one safetensors file, or an index of several.

Source: transformers, `save_pretrained`, for the index: {"weight_map": {tensor: file name}}.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile, folder_file, read_object
from inferstack.models.names import Names, StoredWeight
from inferstack.models.safetensors_file import SafetensorsFile, open_safetensors

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
MOST_FILES = 10_000


class CheckpointWeights:
    """Values by the graph's names; remembers which tensors of the file were asked for."""

    def __init__(self, folder: Path, names: Names) -> None:
        self.folder, self.names = folder, names
        self.files = _files(folder)
        self.asked: set[str] = set()

    def __call__(self, name: str, shape: tuple[int, ...]) -> Array:
        """The values of the weight that the graph calls `name`. Raises CheckpointError."""
        import numpy as np

        place = self.names.stored(name)
        stored = self._stored_name(place)
        self.asked.add(stored)
        file = self.files[stored]
        outputs_last = shape[::-1] if place.transposed else shape
        needed = _whole_shape(outputs_last, place)
        if (got := file.tensors[stored].shape) != needed:
            raise CheckpointError(
                f"{file.path}, tensor {printable(stored)}",
                "has another shape than config.json says",
                got=got,
                need=needed,
            )
        values = file.float32(stored)
        if place.part is not None:
            values = place.part.of(values) if _first(place, shape) else place.part.of(values.T).T
        if place.offset:
            values = values + np.float32(place.offset)
        return np.ascontiguousarray(values.T) if place.transposed else np.asarray(values)

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


def _first(place: StoredWeight, shape: tuple[int, ...]) -> bool:
    """Whether the outputs are the first axis of what is stored."""
    return place.transposed or len(shape) == 1


def _whole_shape(shape: tuple[int, ...], place: StoredWeight) -> tuple[int, ...]:
    """The stored tensor's, of which the weight may be a part."""
    if place.part is None:
        return shape
    outputs = place.part.outputs
    return (outputs, *shape[1:]) if _first(place, shape) else (*shape[:-1], outputs)


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
