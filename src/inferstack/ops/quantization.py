"""From real scales to integers: quantizing arrays, dyadic multipliers, the operators' constants.

All of it happens when a program is made; the program itself holds integers only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]

INT8_MAX = 127
MANTISSA_BITS = 31
SHIFT_MAX = 62
RESCALE_LIMIT = 2.0**30
"""Every rescale is below it: a multiplier of 31 bits and a shift of at least 1."""

CONTEXT_UNITS = 2.0**16
"""An attention context has so many units to one unit of its values: 2^MEAN_BITS of the kernels."""

ERF_A, ERF_B = 0.0235375, 2.6138
"""a and b of i-erf's 1 - a (min(x, b) - b)^4. Source: fitted for the least largest error of GELU,
which is 0.0039; that of I-BERT's square (equation 8) is 0.018."""
EXP_A, EXP_B, EXP_C = 0.35815147, 0.96963238, 1.0
"""i-exp's polynomial a x^2 + b x + c on (-ln 2, 0]. Source: I-BERT's code, quant_modules.py."""
EXP_SCALE = math.log(2) / 2**14
"""What i-exp's input is worth after its rescale: q_ln2 is 2^14 without rounding."""
GELU_RANGE_MIN = 2.0
"""i-GELU's input covers at least +-2, which keeps its qb under 2^16."""

CONSTANTS: Mapping[str, tuple[str, ...]] = {
    "gelu": ("qb", "qc", "drop"),
    "softmax": ("qb", "qc", "q_ln2"),
    "silu": ("qb", "qc", "q_ln2"),
    "layernorm": ("epsilon_sum", "output_shift"),
    "rmsnorm": ("epsilon_sum", "output_shift"),
}
"""The integer attributes of each vector kind, in the order of its packed constants."""


def constants(kind: str, attributes: Mapping[str, Any]) -> npt.NDArray[np.int64]:
    """The packed int64 constants of an operator of `kind`, as a config instruction carries them."""
    import numpy as np

    return np.array([int(attributes[name]) for name in CONSTANTS[kind]], dtype=np.int64)


def quantize_rows(values: Array) -> npt.NDArray[np.int8]:
    """Probabilities (..., n) as int8, each row by its own largest, which is 127.

    What rounding leaves of one goes to the next, as in i-softmax; the sum of a row stands for 1.
    """
    import numpy as np

    from inferstack.ops.kernels.arrays import by_rows, share_rows

    rows = by_rows(np.asarray(values, dtype=np.float64))
    out = np.empty(rows.shape, dtype=np.int8)
    share_rows(rows, out)
    return out.reshape(values.shape)


def quantize(values: Array, scale: Array | float, bits: int = 8) -> npt.NDArray[Any]:
    """int8 (int16) of round-half-even(values / scale), clipped symmetrically. scale broadcasts."""
    import numpy as np

    rounded = np.rint(np.asarray(values, dtype=np.float64) / scale)
    most = 2 ** (bits - 1) - 1
    return np.clip(rounded, -most, most).astype(np.int8 if bits == 8 else np.int16)


def dyadic(real: Array | float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(multiplier, shift), each (n,), with multiplier / 2^shift = real to 2^-31 relative.

    2^30 <= multiplier < 2^31 where 1 <= shift <= 62 allows; a real under 2^-32 has a shorter
    mantissa. real: non-negative, below 2^30, scalar or (n,).
    """
    import numpy as np

    values = np.atleast_1d(np.asarray(real, dtype=np.float64))
    assert np.isfinite(values).all(), "a rescale is not finite"
    assert (values >= 0).all(), "a rescale is negative"
    assert (values < RESCALE_LIMIT).all(), "a rescale is over 2^30"
    mantissa, exponent = np.frexp(values)
    shift = MANTISSA_BITS - exponent.astype(np.int64)
    multiplier = np.rint(np.ldexp(mantissa, MANTISSA_BITS)).astype(np.int64)
    carried = multiplier == 1 << MANTISSA_BITS
    multiplier, shift = np.where(carried, multiplier >> 1, multiplier), shift - carried
    missing = np.maximum(shift - SHIFT_MAX, 0)
    multiplier = np.rint(np.ldexp(multiplier.astype(np.float64), -missing)).astype(np.int64)
    return multiplier, np.minimum(shift, SHIFT_MAX)


def gelu_input_scale(largest: float) -> float:
    """Common scale of i-GELU's input: 16 bits over +-largest, at least +-2."""
    return max(largest, GELU_RANGE_MIN) / (2**15 - 1)


def gelu_attributes(input_scale: float) -> tuple[dict[str, int], float]:
    """Constants of i-GELU for its input's common scale, and the scale of what it computes.

    The output tables rescale from that scale to the int8 result's.
    """
    from inferstack.ops.kernels.integer import GELU_PRODUCT_SHIFT, GELU_SQUARE_BITS

    erf_scale = input_scale / math.sqrt(2)
    qb = max(1, math.floor(ERF_B / erf_scale))
    drop = max(0, 2 * qb.bit_length() - GELU_SQUARE_BITS)
    erf_out_scale = ERF_A * erf_scale**4 * 4.0**drop
    value_scale = input_scale * erf_out_scale / 2 * 2**GELU_PRODUCT_SHIFT
    return {"qb": qb, "qc": math.floor(1 / erf_out_scale), "drop": drop}, value_scale


def exponential_attributes(input_scale: float = EXP_SCALE) -> dict[str, int]:
    """Constants of i-softmax and integer SiLU for i-exp inputs of `input_scale`."""
    return {
        "qb": math.floor(EXP_B / EXP_A / input_scale),
        "qc": math.floor(EXP_C / EXP_A / input_scale**2),
        "q_ln2": math.floor(math.log(2) / input_scale + 1e-9),
    }


def layernorm_tables(
    gamma: Array,
    beta: Array,
    *,
    epsilon: float,
    input_scale: float,
    output_scale: Array | float,
    width: int | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], dict[str, int]]:
    """gamma_multiplier (n,), beta_offset (n,) and the attributes of i-LayerNorm; scales broadcast.

    norm / 2^16 is (x - mean) / (std sqrt n), so gamma_multiplier = gamma sqrt(n) / 2^16 /
    output_scale * 2^output_shift, with the largest output_shift that keeps both tables in int32.
    width: n, of a row; of gamma where none is given.
    """
    import numpy as np

    from inferstack.ops.kernels.integer import NORM_FRACTION_BITS

    n = width or gamma.shape[0]
    weight = np.asarray(gamma, dtype=np.float64) * math.sqrt(n) / 2**NORM_FRACTION_BITS
    weight, offset = weight / output_scale, np.asarray(beta, dtype=np.float64) / output_scale
    largest = max(float(np.abs(weight).max()), float(np.abs(offset).max()), 2.0**-31)
    output_shift = max(1, min(30, math.floor(math.log2((2**31 - 1) / largest))))
    assert largest * 2**output_shift <= 2**31 - 1, "LayerNorm's weights leave int32"
    return (
        np.rint(weight * 2**output_shift).astype(np.int64),
        np.rint(offset * 2**output_shift).astype(np.int64),
        {
            "epsilon_sum": min(round(n * epsilon / input_scale**2), 2**60),
            "output_shift": output_shift,
        },
    )
