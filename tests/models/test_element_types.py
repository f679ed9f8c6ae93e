"""Element types of weights: every byte as torch has it, and values that a file may not hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inferstack.core.errors import CheckpointError
from inferstack.models.element_types import (
    MANTISSAS,
    RUN,
    WEIGHT_TYPES,
    check_finite,
    small_floats,
    to_float32,
)
from inferstack.models.safetensors_file import open_safetensors

TORCH = {
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip


@pytest.mark.parametrize("kind", MANTISSAS)
def test_every_byte_is_what_torch_makes_of_it(kind: str) -> None:
    torch = pytest.importorskip("torch")
    codes = torch.arange(256, dtype=torch.uint8)
    expected = codes.view(getattr(torch, TORCH[kind])).float().numpy()
    np.testing.assert_array_equal(small_floats(kind), expected)


def test_the_largest_and_the_least_are_those_of_the_specification() -> None:
    for kind, largest, least in (("F8_E4M3", 448.0, 2.0**-9), ("F8_E5M2", 57344.0, 2.0**-16)):
        found = small_floats(kind)
        finite = found[np.isfinite(found)]
        assert (finite.max(), finite[finite > 0].min()) == (largest, least)


def test_every_type_is_read_from_a_file_by_safetensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    kinds = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", **TORCH}
    assert set(kinds) == set(WEIGHT_TYPES)
    # Powers of two, which each of these types has.
    values = torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0, 8.0]).reshape(2, 3)
    tensors = {kind: values.to(getattr(torch, name)) for kind, name in kinds.items()}
    save_file(tensors, tmp_path / "m.safetensors")
    file = open_safetensors(tmp_path / "m.safetensors")
    for kind in kinds:
        assert file.tensors[kind].stored_type == kind
        np.testing.assert_array_equal(file.float32(kind), values.numpy())


@pytest.mark.parametrize(
    ("kind", "size", "message"),
    [
        ("F4", 4, "weights of this type are not supported; got F4"),
        ("F6_E2M3", 6, "weights of this type are not supported; got F6_E2M3"),
        ("I32", 32, "weights of this type are not supported; got I32"),
        ("F8_E4M3", 8, "4 of 8 NaN or infinite"),
        ("F12", 8, "has an unknown dtype; got 'F12'"),
        ("F64", 8, "has another length than its shape"),
    ],
)
def test_other_types_are_refused_by_name(
    kind: str, size: int, message: str, tmp_path: Path
) -> None:
    entry = {"dtype": kind, "shape": [2, 4], "data_offsets": [0, size]}
    header = json.dumps({"w": entry}).encode()
    data = bytes([255, 0] * (size // 2))
    (tmp_path / "m").write_bytes(len(header).to_bytes(8, "little") + header + data)
    with pytest.raises(CheckpointError, match=message):
        open_safetensors(tmp_path / "m").float32("w")


def test_values_behind_the_first_run_are_looked_at_too() -> None:
    values = np.zeros((2, RUN), dtype=np.float32)
    values[1, -1], values[0, 5] = np.inf, np.nan
    with pytest.raises(CheckpointError, match=f"2 of {2 * RUN:,} NaN or infinite"):
        check_finite("w", values)
    with pytest.raises(CheckpointError, match="1 of 1 NaN or infinite"):
        to_float32("w", "F64", np.array([1e300]))
