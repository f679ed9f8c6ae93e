"""gpt-oss's experts in MXFP4: 4-bit floats, 32 of which share an exponent.

NAME_blocks (experts, outputs, groups, 16): two codes a byte, the first in the low half. NAME_scales
(experts, outputs, groups): exponents plus 127. The model has NAME as (experts, inputs, outputs).
Source: OCP, Microscaling Formats (MX) 1.0; transformers, integrations/mxfp4.py,
convert_moe_packed_tensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from inferstack.models.config_file import ConfigFile
from inferstack.models.element_types import small_floats
from inferstack.models.quantized import QuantizationMethod, QuantizedWeight, StoredTensors
from inferstack.models.stored_sizes import Quantized

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

POSITIVE = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
CODES = (*POSITIVE, *(-one for one in POSITIVE))


class Mxfp4(QuantizationMethod):
    """See the module."""

    methods = frozenset({"mxfp4"})

    def counted(self, config: ConfigFile) -> Quantized:
        """The experts' matrices, with 8 bits per 32 weights."""
        return Quantized(
            method="mxfp4", bits=4, rows=32, columns=1, scale_bits=8, experts_alone=True
        )

    def weights(self, config: ConfigFile, tensors: StoredTensors) -> Iterable[QuantizedWeight]:
        """See `QuantizationMethod`."""
        for name in tensors.ending("_blocks"):
            if f"{name}_scales" in tensors:
                yield _weight(name, tensors)


def _weight(name: str, tensors: StoredTensors) -> QuantizedWeight:
    packed, scales = f"{name}_blocks", f"{name}_scales"
    experts, outputs, groups, half = tensors.shape(packed, 4)
    tensors.check(packed, (experts, outputs, groups, 16))
    tensors.check(scales, (experts, outputs, groups))

    def values() -> Array:
        import numpy as np

        code = np.array(CODES, dtype=np.float32)
        found = np.empty((experts, outputs, groups, 2 * half), dtype=np.float32)
        sizes = small_floats("F8_E8M0")[tensors.stored(scales, "U8", "F8_E8M0")]
        blocks = tensors.stored(packed, "U8")
        for expert in range(experts):
            found[expert, ..., 0::2] = code[blocks[expert] & 15]
            found[expert, ..., 1::2] = code[blocks[expert] >> 4]
            found[expert] *= sizes[expert, ..., None]
        return found.reshape(experts, outputs, -1).swapaxes(1, 2)

    return QuantizedWeight(
        name=name, shape=(experts, groups * 2 * half, outputs), pieces=(packed, scales),
        values=values,
    )  # fmt: skip


QUANTIZATION = Mxfp4()
