"""GGUF files and files of torch.save out of plain values, right ones or not.

A value that the format has no type for is written as the nearest that it has.
Source: ggml, docs/gguf.md; torch, serialization.py; Python, Lib/pickletools.py.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

ALIGNMENT = 32
TEXT, LIST = 8, 9
F32, F16, Q8_0 = 0, 1, 8
"""Types of tensors."""
TORCH = "archive"


def gguf_file(content: Mapping[str, Any], body: bytes) -> bytes:
    """content: {"metadata": {key: value}, "tensors": {name: [shape, type, offset]}}. body: the
    tensors' bytes."""
    metadata, tensors = content.get("metadata"), content.get("tensors")
    pairs = metadata.items() if isinstance(metadata, dict) else ()
    entries = tensors.items() if isinstance(tensors, dict) else ()
    made = b"GGUF" + struct.pack("<IQQ", 3, len(entries), len(pairs))
    for key, value in pairs:
        kind, raw = _value(value)
        made += _text(key) + struct.pack("<I", kind) + raw
    for name, entry in entries:
        shape, kind, offset = (*entry, 0, 0, 0)[:3] if isinstance(entry, list) else (entry, 0, 0)
        axes = [_whole(axis) for axis in (shape if isinstance(shape, list) else [shape])][:9]
        made += _text(name) + struct.pack(f"<I{len(axes)}Q", len(axes), *axes[::-1])
        made += struct.pack("<IQ", _whole(kind) & 0xFFFFFFFF, _whole(offset))
    return made + bytes(-len(made) % ALIGNMENT) + body


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", errors="surrogatepass")
    return struct.pack("<Q", len(raw)) + raw


def _whole(value: object) -> int:
    """A number of 64 bits without a sign."""
    return max(min(value, 2**64 - 1), -(2**63)) & (2**64 - 1) if isinstance(value, int) else 0


def _value(value: object) -> tuple[int, bytes]:
    """A type and the bytes of a value."""
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return (11 if value < 0 else 10), struct.pack("<Q", _whole(value))
    if isinstance(value, float):
        return 12, struct.pack("<d", value)
    if isinstance(value, str):
        return TEXT, _text(value)
    items = list(value) if isinstance(value, dict | list) else []
    for kind, letter in ((int, "q"), (float, "d")):
        if items and all(type(one) is kind for one in items):
            signed = [max(min(one, 2**63 - 1), -(2**63)) if kind is int else one for one in items]
            number = 11 if kind is int else 12
            return LIST, struct.pack(f"<IQ{len(items)}{letter}", number, len(items), *signed)
    texts = b"".join(_text(one if isinstance(one, str) else repr(one)[:99]) for one in items)
    return LIST, struct.pack("<IQ", TEXT, len(items)) + texts


def torch_pickle(content: Mapping[str, Any]) -> bytes:
    """data.pkl of {name: [storage, key, elements, offset, shape, strides]}."""
    made = b"\x80\x02}("
    for name, tensor in content.items():
        made += _pickled(name)
        if not isinstance(tensor, list) or len(tensor) != 6:
            made += _pickled(tensor)
            continue
        storage, key, elements, offset, shape, strides = tensor
        made += b"ctorch._utils\n_rebuild_tensor_v2\n((" + _pickled("storage")
        made += b"ctorch\n" + str(storage).encode("utf-8", errors="replace") + b"\n"
        made += _pickled(key) + _pickled("cpu") + _pickled(elements) + b"tQ" + _pickled(offset)
        made += b"".join(_pickled(tuple(x) if isinstance(x, list) else x) for x in (shape, strides))
        made += b"\x89ccollections\nOrderedDict\n)RtR"
    return made + b"u."


def _pickled(value: object) -> bytes:
    """The opcodes that make a value."""
    return pickle.dumps(value, protocol=2)[2:-1]


def torch_file(pickled: bytes, body: bytes) -> bytes:
    """body: the bytes of the one storage, whose key is 0."""
    page = io.BytesIO()
    with zipfile.ZipFile(page, "w") as file:
        file.writestr(zipfile.ZipInfo(f"{TORCH}/data.pkl"), pickled)
        file.writestr(zipfile.ZipInfo(f"{TORCH}/data/0"), body)
    return page.getvalue()
