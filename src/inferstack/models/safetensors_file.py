"""safetensors files, read without trust: the header is checked before anything is allocated.

A file is 8 bytes of header length (little endian), a JSON header, and the tensors' bytes.
Source: huggingface/safetensors, README.md "Format"; its checks in safetensors/src/tensor.rs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.core.units import ceil_div
from inferstack.models.config_file import parse_json
from inferstack.models.element_types import PARTS_OF_BYTES, STORED_TYPES, stored_bits, to_float32

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]

LENGTH_BYTES = 8
LARGEST_HEADER_BYTES = 100_000_000
"""The limit of the format's own reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """One entry of the header. begin_bytes: from the start of the file."""

    stored_type: str
    shape: tuple[int, ...]
    begin_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SafetensorsFile:
    """An open file: its header, and the bytes mapped into memory, read as they are asked for."""

    path: Path
    tensors: Mapping[str, StoredTensor]
    content: npt.NDArray[np.uint8]

    def stored(self, name: str) -> Array:
        """The values of `name` as they stand in the file (bfloat16 as uint16, 8-bit floats as
        bytes), read-only. Raises CheckpointError for types of parts of bytes."""
        import numpy as np

        tensor = self.tensors[name]
        if tensor.stored_type in PARTS_OF_BYTES:
            raise CheckpointError(
                f"{self.path}, tensor {printable(name)}", "weights of this type are not supported",
                got=tensor.stored_type,
            )  # fmt: skip
        stored = np.dtype(STORED_TYPES[tensor.stored_type])
        end = tensor.begin_bytes + math.prod(tensor.shape) * stored.itemsize
        values: Array = self.content[tensor.begin_bytes : end].view(stored)
        return values.reshape(tensor.shape)

    def float32(self, name: str) -> Array:
        """The values of `name` in float32; read-only where the file has float32 already.

        Raises CheckpointError for another than a floating-point type, and for values that are not
        finite in float32.
        """
        tensor = self.tensors[name]
        where = f"{self.path}, tensor {printable(name)}"
        return to_float32(where, tensor.stored_type, self.stored(name))


def open_safetensors(path: Path) -> SafetensorsFile:
    """Reads and checks the header, maps the rest. Raises CheckpointError."""
    import numpy as np

    try:
        size = path.stat().st_size
        if size < LENGTH_BYTES:
            raise _damaged(path, "is too short for a safetensors file", f"{size} bytes", "8 bytes")
        with path.open("rb") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            most = min(size - LENGTH_BYTES, LARGEST_HEADER_BYTES)
            if length > most:
                got, need = f"a header length of {length:,} bytes", f"at most {most:,} in this file"
                raise _damaged(path, "has a wrong header length", got, need)
            header = parse_json(f"{path}, header", file.read(length))
        content = np.memmap(path, dtype=np.uint8, mode="r")
    except OSError as failure:
        raise CheckpointError(str(path), "cannot be read", got=failure.strerror) from None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}, header", "is not a JSON object")
    first = LENGTH_BYTES + length
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    spans = {
        name: _span(f"{path}, tensor {printable(name)}", entry) for name, entry in entries.items()
    }
    _check_layout(path, spans, size - first)
    tensors = {
        name: StoredTensor(stored_type=kind, shape=shape, begin_bytes=first + begin)
        for name, (kind, shape, begin, _) in spans.items()
    }
    aliases = _aliases(header.get("__metadata__"), tensors)
    return SafetensorsFile(path=path, tensors=tensors | aliases, content=content)


def _aliases(metadata: object, tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Names that share another one's bytes: the metadata holds `left out: kept`.

    Source: safetensors.torch.save_model, which writes each shared tensor once.
    """
    entries = metadata if isinstance(metadata, dict) else {}
    return {
        name: tensors[kept]
        for name, kept in entries.items()
        if isinstance(kept, str) and kept in tensors and name not in tensors
    }


_Span = tuple[str, tuple[int, ...], int, int]


def _span(where: str, entry: object) -> _Span:
    """(type, shape, begin, end) of a header entry, begin and end in bytes behind the header."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= set(entry):
        raise CheckpointError(where, "has no dtype, shape and data_offsets in the header")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in {**STORED_TYPES, **PARTS_OF_BYTES}:
        need = f"one of {', '.join((*STORED_TYPES, *PARTS_OF_BYTES))}"
        raise CheckpointError(where, "has an unknown dtype", got=repr(kind)[:40], need=need)
    if not _counts(shape) or len(shape) > 8:
        raise CheckpointError(where, "has a wrong shape in the header", got=repr(shape)[:60])
    if not _counts(offsets) or len(offsets) != 2:
        raise CheckpointError(where, "has wrong data_offsets", got=repr(offsets)[:60])
    begin, end = offsets
    need_bytes = ceil_div(math.prod(shape) * stored_bits(kind), 8)
    if end - begin != need_bytes:
        got, need = f"{end - begin:,} bytes", f"{need_bytes:,} for {kind} {tuple(shape)}"
        raise CheckpointError(where, "has another length than its shape", got=got, need=need)
    return kind, tuple(shape), begin, end


def _counts(values: object) -> bool:
    """Whether it is a list of whole numbers from 0 to 2^48."""
    return isinstance(values, list) and all(type(v) is int and 0 <= v <= 2**48 for v in values)


def _check_layout(path: Path, spans: Mapping[str, _Span], data_bytes: int) -> None:
    """The tensors must follow each other without overlap or gap up to the end of the file."""
    at = 0
    for name, (_, _, begin, end) in sorted(spans.items(), key=lambda item: item[1][2:]):
        if end > data_bytes:
            got, need = f"{data_bytes:,} bytes of data", f"{end:,} for tensor {printable(name)}"
            raise _damaged(path, "is truncated", got, need)
        if begin != at:
            what = f"tensor {printable(name)} overlaps another or leaves a gap"
            raise _damaged(path, what, f"an offset of {begin:,}", f"{at:,}")
        at = end
    if at != data_bytes:
        raise _damaged(path, "has bytes behind the last tensor", f"{data_bytes - at:,}", 0)


def _damaged(path: Path, what: str, got: object, need: object) -> CheckpointError:
    hint = "the file is damaged or not a safetensors file; fetch it again"
    return CheckpointError(str(path), what, got=got, need=need, hint=hint)
