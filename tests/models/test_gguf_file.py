"""GGUF files: what the package `gguf` writes is read alike, and files that lie are one error."""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from inferstack.core.errors import CheckpointError
from inferstack.models.gguf_file import is_gguf, open_gguf
from inferstack.models.gguf_types import TYPES

Array = npt.NDArray[Any]

READ = {number: kind for number, kind in TYPES.items() if kind.to_float is not None}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def entry(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    axes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
    return text(name) + axes + struct.pack("<IQ", kind, offset)


PAIRS = (
    pair("general.architecture", 8, text("llama")),
    pair("a.list", 9, struct.pack("<IQ3i", 5, 3, 1, -2, 3)),
    pair("a.flag", 7, b"\1"),
)
ENTRIES = (entry("one", (2, 3), 0, 0), entry("two", (32,), 8, 32))
DATA = np.arange(6, dtype="<f4").tobytes() + bytes(8) + struct.pack("<e", 0.5) + bytes(range(32))


def built(
    pairs: tuple[bytes, ...] = PAIRS,
    entries: tuple[bytes, ...] = ENTRIES,
    data: bytes = DATA,
    head: bytes = b"GGUF" + struct.pack("<I", 3),
    counts: tuple[int, int] | None = None,
) -> bytes:
    number = (len(entries), len(pairs)) if counts is None else counts
    header = head + struct.pack("<QQ", *number) + b"".join(pairs) + b"".join(entries)
    return header + bytes(-len(header) % 32) + data


def opened(folder: Path, content: bytes) -> Any:
    path = folder / "m.gguf"
    path.write_bytes(content)
    return open_gguf(path)


def test_keys_and_tensors_are_read(tmp_path: Path) -> None:
    found = opened(tmp_path, built())
    assert found.metadata == {
        "general.architecture": "llama",
        "a.list": [1, -2, 3],
        "a.flag": True,
    }
    np.testing.assert_array_equal(found.float32("one"), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(found.float32("two"), np.arange(32) / 2)
    assert found.float32("two").dtype == np.float32


LIES = {
    "magic": (built(head=b"GGUX\3\0\0\0"), "is no GGUF file"),
    "version": (built(head=b"GGUF\1\0\0\0"), "version that is not read"),
    "big-endian": (built(head=b"GGUF\0\0\0\3"), "version that is not read"),
    "tensors": (built(counts=(2**60, 3)), "more than fits"),
    "keys": (built(counts=(2, 2**63)), "more than fits"),
    "twice": (built(pairs=(*PAIRS, PAIRS[0])), "twice"),
    "kind": (built(pairs=(pair("k", 13, b"\0"),)), "unknown type"),
    "flag": (built(pairs=(pair("k", 7, b"\2"),)), "neither true nor false"),
    "nested": (built(pairs=(pair("k", 9, struct.pack("<IQ", 9, 1)),)), "array of another type"),
    "long list": (built(pairs=(pair("k", 9, struct.pack("<IQ", 5, 2**61)),)), "more than fits"),
    "long texts": (built(pairs=(pair("k", 9, struct.pack("<IQ", 8, 2**61)),)), "more than fits"),
    "long text": (built(pairs=(pair("k", 8, struct.pack("<Q", 2**62)),)), "wrong length"),
    "alignment": (built(pairs=(pair("general.alignment", 4, b"\3\0\0\0"),)), "makes no sense"),
    "no alignment": (built(pairs=(pair("general.alignment", 8, text("x")),)), "makes no sense"),
    "same name": (built(entries=(ENTRIES[0], ENTRIES[0])), "is named twice"),
    "axes": (built(entries=(entry("one", (1,) * 5, 0, 0),)), "number of axes"),
    "no axis": (built(entries=(entry("one", (), 0, 0), ENTRIES[0])), "number of axes"),
    "no elements": (built(entries=(entry("one", (0, 3), 0, 0),)), "wrong shape"),
    "huge": (built(entries=(entry("one", (2**40, 2**40), 0, 0),)), "is truncated"),
    "beyond": (built(entries=(entry("one", (2**62,), 0, 0),)), "wrong shape"),
    "type": (built(entries=(entry("one", (2, 3), 4, 0),)), "unknown type"),
    "blocks": (built(entries=(entry("one", (33,), 8, 0),)), "without whole blocks"),
    "overlap": (built(entries=(ENTRIES[0], entry("two", (32,), 8, 0))), "overlaps"),
    "gap": (built(entries=(ENTRIES[0], entry("two", (32,), 8, 64))), "leaves a gap"),
    "offset": (built(entries=(entry("one", (2, 3), 0, 2**63),)), "leaves a gap"),
    "short": (built(data=DATA[:-1]), "is truncated"),
    "behind": (built(data=DATA + bytes(64)), "bytes behind the last tensor"),
    "empty": (b"", "too short"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_one_error(tmp_path: Path, lie: str) -> None:
    content, message = LIES[lie]
    with pytest.raises(CheckpointError, match=message):
        opened(tmp_path, content)


def test_every_place_to_cut_is_one_error(tmp_path: Path) -> None:
    whole = built()
    for size in range(len(whole)):
        with pytest.raises(CheckpointError):
            opened(tmp_path, whole[:size])


def test_any_changed_byte_of_the_header_is_read_or_refused(tmp_path: Path) -> None:
    whole, refused = built(), 0
    for at in range(len(whole) - len(DATA)):
        for flip in (1, 128, 255):
            changed = whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]
            try:
                found = opened(tmp_path, changed)
                [found.float32(name) for name in found.tensors]
            except CheckpointError:
                refused += 1
    assert refused > len(whole) - len(DATA)


def test_types_that_are_not_read_say_so(tmp_path: Path) -> None:
    made = built(entries=(entry("one", (256,), 16, 0),), data=bytes(66))
    found = opened(tmp_path, made)
    with pytest.raises(CheckpointError, match="IQ2_XXS"):
        found.float32("one")


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    data = np.array([0, 1, np.nan, 2, np.inf, 3], dtype="<f4").tobytes()
    found = opened(tmp_path, built(entries=ENTRIES[:1], data=data))
    with pytest.raises(CheckpointError, match="2 of 6 NaN"):
        found.float32("one")


def test_blocks_become_values_in_little_memory(tmp_path: Path) -> None:
    number, kind = next((n, k) for n, k in TYPES.items() if k.name == "Q4_K")
    blocks = np.random.default_rng(1).integers(0, 256, (3 * 2**12 + 5, kind.bytes), dtype=np.uint8)
    blocks[:, :4] = np.array([0.5, 0.25], dtype="<f2").view(np.uint8)
    data = blocks.tobytes() + bytes(-blocks.size % 32)
    found = opened(
        tmp_path, built(entries=(entry("one", (len(blocks), 256), number, 0),), data=data)
    )
    assert kind.to_float is not None
    expected = kind.to_float(blocks)
    tracemalloc.start()
    values = found.float32("one")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(values, expected)
    # The values themselves, and a run of 2^20 on its way.
    assert most < values.nbytes + 6 * 4 * 2**20


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "", "nothing"):
        assert not is_gguf(tmp_path / name)


def test_sizes_of_blocks_are_those_of_the_package() -> None:
    gguf = pytest.importorskip("gguf")
    for number, kind in TYPES.items():
        theirs = gguf.GGMLQuantizationType(number)
        assert theirs.name == kind.name
        if kind.name != "Q8_1":
            assert gguf.GGML_QUANT_SIZES[theirs] == (kind.elements, kind.bytes)


@pytest.mark.parametrize("number", READ, ids=lambda number: TYPES[number].name)
def test_values_are_those_of_the_package(number: int) -> None:
    gguf = pytest.importorskip("gguf")
    kind = READ[number]
    assert kind.to_float is not None
    generator = np.random.default_rng(number)
    blocks = generator.integers(0, 256, (300, kind.bytes), dtype=np.uint8)
    # Random bytes: some scales are infinite or no numbers at all.
    with np.errstate(all="ignore"):
        if number == 15:
            expected = blocks[:, :4].copy().view("<f4") * blocks[:, 4:260].view("i1")
        elif number == 28:
            expected = blocks.view("<f8")
        else:
            expected = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType(number))
        found = kind.to_float(blocks)
        expected = np.asarray(expected, dtype=np.float32).reshape(found.shape)
    assert found.shape == (300, kind.elements)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16"])
def test_what_the_package_writes_is_read(tmp_path: Path, name: str) -> None:
    gguf = pytest.importorskip("gguf")
    values = np.random.default_rng(1).normal(size=(6, 64)).astype(np.float32)
    kind = gguf.GGMLQuantizationType[name]
    packed = gguf.quants.quantize(values, kind)
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint32("some.number", 7)
    writer.add_array("some.texts", ["a", "é"])
    writer.add_tensor("t.weight", packed, raw_dtype=kind)
    writer.add_tensor("u.weight", values[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = open_gguf(path)
    assert (found.metadata["some.number"], found.metadata["some.texts"]) == (7, ["a", "é"])
    expected = gguf.quants.dequantize(packed, kind)
    np.testing.assert_allclose(found.float32("t.weight"), expected, rtol=1e-6)
    np.testing.assert_array_equal(found.float32("u.weight"), values[0])
