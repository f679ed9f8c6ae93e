"""Element types of files of weights, by the names of safetensors, and how they become float32.

Source: safetensors, tensor.rs, for the names; OCP, 8-bit Floating Point Specification and
Microscaling Formats (MX), for F8_E4M3, F8_E5M2 and F8_E8M0; arXiv:2206.02915 for FNUZ.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

STORED_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "|i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
    "C64": "<c8", "F8_E4M3": "|u1", "F8_E5M2": "|u1", "F8_E8M0": "|u1", "F8_E4M3FNUZ": "|u1",
    "F8_E5M2FNUZ": "|u1",
}  # fmt: skip
"""numpy's name of each; bfloat16 is the upper half of a float32, and 8-bit floats are bytes."""
PARTS_OF_BYTES = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
"""Bits of types that numpy has no word for; they are known, and not read."""
MANTISSAS = {"F8_E4M3": 3, "F8_E5M2": 2, "F8_E8M0": 0, "F8_E4M3FNUZ": 3, "F8_E5M2FNUZ": 2}
"""Bits behind the exponent of each 8-bit type."""
WEIGHT_TYPES = ("F64", "F32", "F16", "BF16", *MANTISSAS)
RUN = 2**20
"""Elements that are looked at, or made, at once."""


def stored_bits(kind: str) -> int:
    """Of an element."""
    return PARTS_OF_BYTES[kind] if kind in PARTS_OF_BYTES else 8 * int(STORED_TYPES[kind][2:])


def to_float32(where: str, kind: str, values: Array) -> Array:
    """Stored values in float32. Raises CheckpointError for another than a floating-point type, and
    for values that are not finite."""
    import numpy as np

    if kind not in WEIGHT_TYPES:
        raise CheckpointError(
            where,
            "weights of this type are not supported",
            got=kind,
            need=f"one of {', '.join(WEIGHT_TYPES)}",
            hint="whole numbers are weights only where quantization_config of config.json says how",
        )
    if kind == "BF16":
        values = bfloat16(values)
    elif kind in MANTISSAS:
        values = small_floats(kind)[values]
    with np.errstate(over="ignore"):
        # The file may place a tensor at any byte; the kernels want whole words.
        values = np.require(values, dtype=np.float32, requirements="A")
    check_finite(where, values)
    return values


def bfloat16(values: Array) -> Array:
    """Upper halves of float32, as uint16, in float32."""
    import numpy as np

    found: Array = (values.astype(np.uint32) << 16).view(np.float32)
    return found


@cache
def small_floats(kind: str) -> Array:
    """What each byte stands for in an 8-bit type, float32."""
    import numpy as np

    mantissa = MANTISSAS[kind]
    codes = np.arange(256)
    if kind == "F8_E8M0":
        exponents: Array = np.where(codes == 255, np.nan, 2.0 ** (codes - 127.0))
        return exponents.astype(np.float32)
    own = kind.endswith("FNUZ")
    bias = 2 ** (6 - mantissa) - (0 if own else 1)
    exponent, fraction = (codes & 127) >> mantissa, (codes & (2**mantissa - 1)) / 2**mantissa
    size = np.where(
        exponent == 0, fraction * 2.0 ** (1 - bias), (1 + fraction) * 2.0 ** (exponent - bias)
    )
    found: Array = np.where(codes >= 128, -size, size)
    if own:
        found[128] = np.nan
    elif kind == "F8_E4M3":
        found[[127, 255]] = np.nan
    else:
        found[(codes & 127) > 124] = np.nan
        found[[124, 252]] = np.inf, -np.inf
    return found.astype(np.float32)


def check_finite(where: str, values: Array) -> None:
    """Raises CheckpointError for values that are NaN or infinite."""
    import numpy as np

    flat = values.reshape(-1)
    count = 0
    for begin in range(0, flat.size, RUN):
        count += int(np.count_nonzero(~np.isfinite(flat[begin : begin + RUN])))
    if count:
        raise CheckpointError(
            where,
            "has values that are not finite",
            got=f"{count:,} of {values.size:,} NaN or infinite",
            hint="the checkpoint is damaged or its training diverged; take another one",
        )
