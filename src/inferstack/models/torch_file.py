"""pytorch_model.bin, read as data: its pickle is interpreted opcode by opcode, nothing is called.

A file that torch.save wrote is a zip: `data.pkl` describes a dict of tensors, `data/N` hold their
bytes. Of the pickle's language only what such a dict needs is known here; a name that it mentions
(a function, a class) is a word, never an object of Python. Anything else is refused.
Source: Python, Lib/pickletools.py, for the opcodes; torch, serialization.py, for the layout.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.element_types import STORED_TYPES, to_float32
from inferstack.models.safetensors_file import StoredTensor

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

STORAGES = {
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "DoubleStorage": "F64",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
"""By torch's name: that of safetensors."""
REBUILDS = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter")
DICTS = ("collections OrderedDict",)
LARGEST_PICKLE_BYTES = 2**27
MOST_OPCODES = 10_000_000


@dataclass(frozen=True, slots=True)
class _Word:
    """A name that the pickle mentions."""

    text: str


@dataclass(frozen=True, slots=True)
class _Storage:
    """Bytes of the zip. elements: how many it says that there are."""

    kind: str
    key: str
    elements: int


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor: a strided view of a storage, in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TorchFile:
    """An open file: what its pickle says of tensors; their bytes are read as they are asked for."""

    path: Path
    tensors: Mapping[str, StoredTensor]
    views: Mapping[str, _View]
    folder: str

    def float32(self, name: str) -> Array:
        """The values of `name` in float32. Raises CheckpointError as `SafetensorsFile.float32`."""
        where = f"{self.path}, tensor {printable(name)}"
        return to_float32(where, self.tensors[name].stored_type, self.stored(name))

    def stored(self, name: str) -> Array:
        """The values of `name` as they stand in the file. Raises CheckpointError."""
        import numpy as np

        view = self.views[name]
        where = f"{self.path}, tensor {printable(name)}"
        stored = np.dtype(STORED_TYPES[self.tensors[name].stored_type])
        entry = f"{self.folder}/data/{view.storage.key}"
        need = view.storage.elements * stored.itemsize
        try:
            with zipfile.ZipFile(self.path) as file:
                info = file.getinfo(entry)
                if info.file_size < need:
                    raise CheckpointError(where, "has fewer bytes than it says", need=f"{need:,}")
                raw = _bytes_of(file, info, where)
        except _ZIP_FAILURES as failure:
            raise CheckpointError(where, "cannot be read", got=type(failure).__name__) from None
        flat = np.frombuffer(raw, dtype=stored, count=view.storage.elements)
        steps = tuple(stride * stored.itemsize for stride in view.strides)
        values = np.lib.stride_tricks.as_strided(
            flat[view.offset :], view.shape, steps, writeable=False
        )
        return np.ascontiguousarray(values)


_ZIP_FAILURES = (KeyError, OSError, zipfile.BadZipFile, RuntimeError, ValueError, EOFError)


def _bytes_of(file: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> bytes:
    """What is stored there; torch.save compresses nothing, and what is could be of any length."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(where, "is compressed, which torch.save does not do")
    return file.read(info)


def open_torch(path: Path) -> TorchFile:
    """Reads what a file says of its tensors. Raises CheckpointError for what is no dict of them."""
    try:
        with zipfile.ZipFile(path) as file:
            names = [n for n in file.namelist() if n.endswith("/data.pkl") and n.count("/") == 1]
            if len(names) != 1:
                raise CheckpointError(str(path), "is a zip file that torch.save did not write")
            info = file.getinfo(names[0])
            if info.file_size > LARGEST_PICKLE_BYTES:
                raise CheckpointError(f"{path}, {names[0]}", "is too long", got=info.file_size)
            raw = _bytes_of(file, info, f"{path}, {names[0]}")
    except zipfile.BadZipFile:
        raise CheckpointError(
            str(path),
            "is no file that torch.save wrote since version 1.6",
            hint="save_pretrained(folder) of transformers writes model.safetensors",
        ) from None
    except _ZIP_FAILURES as failure:
        raise CheckpointError(str(path), "cannot be read", got=type(failure).__name__) from None
    found = _Pickle(f"{path}, {names[0]}").run(raw)
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not found:
        raise CheckpointError(str(path), "holds no dict of tensors")
    views = {
        str(name): _checked(f"{path}, tensor {printable(str(name))}", view)
        for name, view in found.items()
        if isinstance(view, _View)
    }
    tensors = {
        name: StoredTensor(stored_type=STORAGES[view.storage.kind], shape=view.shape, begin_bytes=0)
        for name, view in views.items()
    }
    return TorchFile(path=path, tensors=tensors, views=views, folder=names[0].partition("/")[0])


def _checked(where: str, view: _View) -> _View:
    """A view inside of its storage."""
    sizes = (*view.shape, *view.strides, view.offset, view.storage.elements)
    sound = len(view.shape) == len(view.strides) <= 8 and all(
        type(size) is int and 0 <= size <= 2**48 for size in sizes
    )
    if sound and 0 not in view.shape:
        pairs = zip(view.shape, view.strides, strict=True)
        last = view.offset + sum((size - 1) * stride for size, stride in pairs)
        # No element twice, which a stride of 0 could make of few bytes without end.
        sound = last < view.storage.elements and math.prod(view.shape) <= view.storage.elements
    if not sound or not view.storage.key.isalnum():
        raise CheckpointError(where, "does not lie inside of its storage", got=view.shape)
    return view


class _Pickle:
    """A machine for the few opcodes that a dict of tensors needs."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, raw: bytes) -> object:
        """What the pickle describes."""
        try:
            for number, (opcode, argument, place) in enumerate(pickletools.genops(raw)):
                if number > MOST_OPCODES:
                    raise self._refused("has too many opcodes", number)
                if opcode.name == "STOP":
                    return self.stack[-1]
                self._step(opcode.name, argument, place)
        except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as failure:
            raise self._refused("is damaged", type(failure).__name__) from None
        raise self._refused("has no end", None)

    def _refused(self, what: str, got: object) -> CheckpointError:
        hint = "nothing of it was run; save_pretrained(folder) writes model.safetensors"
        return CheckpointError(self.where, what, got=got, hint=hint)

    def _step(self, name: str, argument: Any, place: int | None) -> None:
        if name in _CONSTANTS:
            made = _CONSTANTS[name]
            self.stack.append(made() if callable(made) else made)
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name in ("TUPLE", "LIST"):
            items = self._since_mark()
            self.stack.append(tuple(items) if name == "TUPLE" else items)
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            self.stack[-count:] = [tuple(self.stack[-count:])]
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[int(argument)] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[int(argument)])
        elif name == "GLOBAL":
            self.stack.append(_Word(str(argument)))
        elif name == "STACK_GLOBAL":
            module, word = self.stack[-2:]
            self.stack[-2:] = [_Word(f"{module} {word}")]
        elif name in ("BINPERSID", "REDUCE", "SETITEM", "SETITEMS", "APPEND", "APPENDS", "BUILD"):
            getattr(self, f"_{name.lower()}")()
        elif name not in ("PROTO", "FRAME"):
            raise self._refused("does more than describe tensors", f"{name} at byte {place}")

    def _since_mark(self) -> list[Any]:
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items

    def _binpersid(self) -> None:
        tag, kind, key, _, elements = self.stack.pop()
        name = kind.text.removeprefix("torch ")
        if tag != "storage" or name not in STORAGES:
            raise self._refused("has a storage that is not known", printable(kind.text))
        self.stack.append(_Storage(name, str(key), elements))

    def _reduce(self) -> None:
        arguments, word = self.stack.pop(), self.stack.pop()
        if isinstance(word, _Word) and word.text == REBUILDS[0]:
            storage, offset, shape, strides = arguments[:4]
            if not isinstance(storage, _Storage):
                raise self._refused("has a tensor without a storage", type(storage).__name__)
            self.stack.append(_View(storage, offset, tuple(shape), tuple(strides)))
        elif isinstance(word, _Word) and word.text == REBUILDS[1]:
            self.stack.append(arguments[0])
        elif isinstance(word, _Word) and word.text in DICTS and not arguments:
            self.stack.append({})
        else:
            got = printable(word.text) if isinstance(word, _Word) else type(word).__name__
            raise self._refused("would call something", got)

    def _setitem(self) -> None:
        key, value = self.stack[-2:]
        del self.stack[-2:]
        self.stack[-1][key] = value

    def _setitems(self) -> None:
        items = self._since_mark()
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _append(self) -> None:
        value = self.stack.pop()
        self.stack[-1].append(value)

    def _appends(self) -> None:
        items = self._since_mark()
        self.stack[-1].extend(items)

    def _build(self) -> None:
        """The state of a dict: names of versions, which say nothing of values."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise self._refused("would change something", type(self.stack[-1]).__name__)


_CONSTANTS: Mapping[str, Any] = {
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False,
    "EMPTY_TUPLE": (), "EMPTY_DICT": dict, "EMPTY_LIST": list,
}  # fmt: skip
_LITERALS = frozenset(
    {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BININT", "BININT1", "BININT2",
     "LONG1", "INT", "LONG", "BINFLOAT", "FLOAT", "SHORT_BINSTRING", "BINSTRING"}
)  # fmt: skip
