"""GGUF files of llama.cpp, read without trust: every count and offset is checked against the file.

A file is a header, pairs of key and value, an entry for each tensor, and the tensors' bytes, each
at a multiple of the alignment directly behind the one before.
Source: ggml, docs/gguf.md; its checks in src/gguf.cpp.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.element_types import RUN, check_finite
from inferstack.models.gguf_types import TYPES, BlockType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_DIMENSIONS = 4
LARGEST_DIMENSION = 2**40
LONGEST_NAME = 2**16
USUAL_ALIGNMENT, LARGEST_ALIGNMENT = 32, 2**20
SCALARS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
"""By the number of a value's type, what `struct` calls it; 8 is a string, 9 an array."""
STRING, ARRAY = 8, 9
LEAST_PAIR_BYTES, LEAST_ENTRY_BYTES = 8 + 4 + 1, 8 + 4 + 8 + 4 + 8

Value = Any
"""A number, a truth value, a text, or a list of such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensor:
    """shape: the axis that lies closest in memory last. begin_bytes: from the file's start."""

    kind: BlockType
    shape: tuple[int, ...]
    begin_bytes: int

    @property
    def size_bytes(self) -> int:
        """Of its blocks."""
        return math.prod(self.shape) // self.kind.elements * self.kind.bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GgufFile:
    """An open file: what its header says, and the bytes mapped into memory."""

    path: Path
    metadata: Mapping[str, Value]
    tensors: Mapping[str, GgufTensor]
    content: npt.NDArray[np.uint8]

    def float32(self, name: str) -> Array:
        """The values of a tensor. Raises CheckpointError for a type that is not read, and for
        values that are not finite."""
        import numpy as np

        tensor = self.tensors[name]
        where = f"{self.path}, tensor {printable(name)}"
        if tensor.kind.to_float is None:
            known = ", ".join(kind.name for kind in TYPES.values() if kind.to_float)
            raise CheckpointError(
                where, "weights of this type are not read", got=tensor.kind.name, need=known
            )
        end = tensor.begin_bytes + tensor.size_bytes
        blocks = self.content[tensor.begin_bytes : end].reshape(-1, tensor.kind.bytes)
        values = np.empty((len(blocks), tensor.kind.elements), dtype=np.float32)
        run = max(RUN // tensor.kind.elements, 1)
        for begin in range(0, len(blocks), run):
            some = np.ascontiguousarray(blocks[begin : begin + run])
            with np.errstate(all="ignore"):
                values[begin : begin + run] = tensor.kind.to_float(some)
        check_finite(where, values)
        return values.reshape(tensor.shape)


def is_gguf(path: Path) -> bool:
    """Whether a file begins as one of these."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def open_gguf(path: Path) -> GgufFile:
    """Reads and checks the header, maps the rest. Raises CheckpointError."""
    import numpy as np

    try:
        if path.stat().st_size < len(MAGIC):
            raise CheckpointError(str(path), "is too short for a GGUF file")
        content = np.memmap(path, dtype=np.uint8, mode="r")
    except OSError as failure:
        raise CheckpointError(str(path), "cannot be read", got=failure.strerror) from None
    reader = _Reader(path, content.data)
    if bytes(reader.take(len(MAGIC), "the first bytes")) != MAGIC:
        raise CheckpointError(str(path), "is no GGUF file")
    version = reader.number("I", "the version")
    if version not in VERSIONS:
        need = " or ".join(map(str, VERSIONS))
        raise CheckpointError(
            str(path), "is of a version that is not read", got=version, need=need,
            hint="files of big-endian machines are not read",
        )  # fmt: skip
    entries = reader.count("Q", LEAST_ENTRY_BYTES, "tensors")
    pairs = reader.count("Q", LEAST_PAIR_BYTES, "keys")
    metadata: dict[str, Value] = {}
    for _ in range(pairs):
        key = reader.text("a key")
        if key in metadata:
            raise CheckpointError(str(path), f"names the key '{printable(key)}' twice")
        metadata[key] = reader.value(reader.number("I", "a type"), f"key {printable(key)}")
    tensors = _tensors(path, reader, entries, metadata)
    return GgufFile(path=path, metadata=metadata, tensors=tensors, content=content)


class _Reader:
    """Walks over the header; nothing is made that the file has no bytes for."""

    def __init__(self, path: Path, content: memoryview) -> None:
        self.path, self.content, self.at = path, content, 0

    @property
    def left(self) -> int:
        """Bytes behind here."""
        return len(self.content) - self.at

    def take(self, size: int, what: str) -> memoryview:
        """The next bytes."""
        if size > self.left:
            got, need = f"{self.left:,} bytes", f"{size:,} for {what}"
            raise _damaged(self.path, "is truncated", got, need)
        found = self.content[self.at : self.at + size]
        self.at += size
        return found

    def number(self, kind: str, what: str) -> Any:
        """A number as `struct` calls it."""
        return struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}"), what))[0]

    def count(self, kind: str, least_bytes: int, what: str) -> int:
        """How many of something follow, each of at least so many bytes."""
        found = int(self.number(kind, f"the number of {what}"))
        if found > self.left // least_bytes:
            got, need = f"{found:,} {what}", f"at most {self.left // least_bytes:,} in this file"
            raise _damaged(self.path, "has more than fits", got, need)
        return found

    def text(self, what: str, longest: int = LONGEST_NAME) -> str:
        """A string."""
        size = int(self.number("Q", what))
        if size > min(longest, self.left):
            got, need = f"{size:,} bytes", f"at most {min(longest, self.left):,}"
            raise _damaged(self.path, f"has a wrong length of {what}", got, need)
        return bytes(self.take(size, what)).decode("utf-8", errors="replace")

    def value(self, kind: int, what: str) -> Value:
        """A value of that type."""
        if kind == ARRAY:
            return self._array(what)
        if kind == STRING:
            return self.text(what, self.left)
        if kind not in SCALARS:
            raise _damaged(self.path, f"{what} has an unknown type", kind, "a type from 0 to 12")
        if kind == 7 and self.left and self.content[self.at] > 1:
            raise _damaged(self.path, f"{what} is neither true nor false", self.content[self.at], 1)
        return self.number(SCALARS[kind], what)

    def _array(self, what: str) -> list[Value]:
        kind = self.number("I", what)
        if kind == STRING:
            count = self.count("Q", 8, f"strings of {what}")
            return [self.text(what, self.left) for _ in range(count)]
        if kind not in SCALARS:
            raise _damaged(self.path, f"{what} is an array of another type", kind, "0 to 8, 10-12")
        size = struct.calcsize(f"<{SCALARS[kind]}")
        count = self.count("Q", size, f"numbers of {what}")
        return list(struct.unpack(f"<{count}{SCALARS[kind]}", self.take(count * size, what)))


def _tensors(
    path: Path, reader: _Reader, count: int, metadata: Mapping[str, Value]
) -> dict[str, GgufTensor]:
    """The tensors by name, whose bytes must follow each other up to the end of the file."""
    alignment = metadata.get("general.alignment", USUAL_ALIGNMENT)
    sound = type(alignment) is int and 1 <= alignment <= LARGEST_ALIGNMENT
    if not sound or alignment & (alignment - 1):
        need = f"a power of two up to {LARGEST_ALIGNMENT:,}"
        raise CheckpointError(
            f"{path}, general.alignment", "makes no sense", got=repr(alignment)[:40], need=need
        )
    found: dict[str, tuple[BlockType, tuple[int, ...], int]] = {}
    for _ in range(count):
        name = reader.text("a tensor's name")
        where = f"{path}, tensor {printable(name)}"
        if name in found:
            raise CheckpointError(where, "is named twice")
        axes = reader.number("I", "a tensor's number of axes")
        if not 1 <= axes <= MOST_DIMENSIONS:
            raise CheckpointError(where, "has a wrong number of axes", got=axes, need="1 to 4")
        shape = tuple(reader.number("Q", "an axis") for _ in range(axes))[::-1]
        if not all(1 <= size <= LARGEST_DIMENSION for size in shape):
            raise CheckpointError(where, "has a wrong shape", got=shape)
        number, offset = reader.number("I", "a tensor's type"), reader.number("Q", "an offset")
        if number not in TYPES:
            raise CheckpointError(where, "has an unknown type", got=number)
        kind = TYPES[number]
        if shape[-1] % kind.elements:
            need = f"rows of a multiple of {kind.elements} for {kind.name}"
            raise CheckpointError(where, "has a shape without whole blocks", got=shape, need=need)
        found[name] = (kind, shape, offset)
    first = _aligned(reader.at, alignment)
    tensors, end = {}, 0
    for name, (kind, shape, offset) in found.items():
        where = f"{path}, tensor {printable(name)}"
        if offset != (expected := _aligned(end, alignment)):
            got, need = f"an offset of {offset:,}", f"{expected:,}"
            raise CheckpointError(where, "overlaps another or leaves a gap", got=got, need=need)
        tensor = GgufTensor(kind=kind, shape=shape, begin_bytes=first + offset)
        end = offset + tensor.size_bytes
        if first + end > len(reader.content):
            got, need = f"{len(reader.content):,} bytes", f"{first + end:,}"
            raise CheckpointError(where, "is truncated", got=got, need=need)
        tensors[name] = tensor
    behind = len(reader.content) - max(first + _aligned(end, alignment), reader.at)
    if behind > 0:
        raise _damaged(path, "has bytes behind the last tensor", f"{behind:,}", 0)
    return tensors


def _aligned(at: int, alignment: int) -> int:
    return -(-at // alignment) * alignment


def _damaged(path: Path, what: str, got: object, need: object) -> CheckpointError:
    hint = "the file is damaged or not a GGUF file; fetch it again"
    return CheckpointError(str(path), what, got=got, need=need, hint=hint)
