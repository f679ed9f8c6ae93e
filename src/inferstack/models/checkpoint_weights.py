"""The weights of a checkpoint as a `WeightSource`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.names import EXPERT, Names, Stacks, StoredWeight, length_of
from inferstack.models.quantized import check_plain, decoded, method_in
from inferstack.models.weight_files import WeightFile, stored_files

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

MOST_SHOWN = 3


class CheckpointWeights:
    """Values by the graph's names; remembers which tensors of the file were asked for."""

    def __init__(
        self,
        folder: Path,
        names: Names | Stacks,
        *,
        straight: bool = True,
        files: Mapping[str, WeightFile],
        described_by: str = "config.json",
    ) -> None:
        """straight: values in C order; else as the file has them, which is without a copy. files:
        the file of each tensor. described_by: what says the shapes, for messages."""
        self.folder, self.names, self.straight = folder, names, straight
        self.described_by = described_by
        self._fused: dict[str, tuple[str, Array]] = {}
        self.files = files
        self.asked: set[str] = set()

    @classmethod
    def of_folder(
        cls,
        folder: Path,
        names: Names | Stacks,
        content: Mapping[str, object],
        *,
        straight: bool = True,
    ) -> CheckpointWeights:
        """Those of a Hugging Face folder. content: of its config.json. Raises CheckpointError."""
        stored = stored_files(folder)
        method = method_in(str(folder / "config.json"), content)
        if method is None:
            check_plain(stored)
            return cls(folder, names, straight=straight, files=stored)
        return cls(folder, names, straight=straight, files=decoded(stored, *method))

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
