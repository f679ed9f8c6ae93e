"""GPTQ's checkpoints: integers of 2, 3, 4 or 8 bits in words along the inputs.

Of each module: qweight (inputs * bits / 32, outputs), qzeros (groups, outputs * bits / 32), scales
(groups, outputs), and g_idx (inputs), the group of each input. Format 1 stores a zero point less
one, so that 0 wraps around; format 2 stores it as it is.
Source: Frantar et al. 2022, arXiv:2210.17323; AutoGPTQ, nn_modules/qlinear/qlinear_cuda.py and
qlinear_cuda_old.py, for the layout and the wrap.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile
from inferstack.models.packed_integers import grouped, unpacked
from inferstack.models.quantized import (
    QuantizationMethod,
    QuantizedWeight,
    StoredTensors,
    group_size,
)
from inferstack.models.stored_sizes import Quantized

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

BITS = (2, 3, 4, 8)
FORMATS = {"gptq": 1, "gptq_v2": 0}
"""What is added to a stored zero point."""


class Gptq(QuantizationMethod):
    """See the module."""

    methods = frozenset({"gptq"})

    def counted(self, config: ConfigFile) -> Quantized:
        """Float16 scales and packed zero points by groups of inputs; the order of groups is not
        counted."""
        bits = config.whole("bits", 8, least=2)
        return Quantized(
            method="gptq", bits=bits, rows=group_size(config), columns=1, scale_bits=16 + bits
        )

    def weights(self, config: ConfigFile, tensors: StoredTensors) -> Iterable[QuantizedWeight]:
        """See `QuantizationMethod`."""
        bits = config.whole("bits", 8, least=2)
        if bits not in BITS:
            need = f"one of {', '.join(map(str, BITS))}"
            raise CheckpointError(config.where, "bits is not read", got=bits, need=need)
        key = "checkpoint_format" if config.has("checkpoint_format") else "format"
        kind = config.text(key) if config.has(key) else "gptq"
        if kind not in FORMATS:
            need = " or ".join(FORMATS)
            raise CheckpointError(
                config.where, f"{key} is not read", got=printable(kind), need=need
            )
        for key in ("is_marlin_format", "dynamic"):
            if config.content.get(key):
                raise CheckpointError(config.where, f"{key} is not read")
        size = group_size(config)
        for module in tensors.ending(".qweight"):
            if config.flag("desc_act", False):
                tensors.kind(f"{module}.g_idx")  # without it the order is not known
            yield _weight(module, bits, size, FORMATS[kind], tensors)


def _weight(
    module: str, bits: int, size: int | None, added: int, tensors: StoredTensors
) -> QuantizedWeight:
    packed, zeros, scales, order = (
        f"{module}.{name}" for name in ("qweight", "qzeros", "scales", "g_idx")
    )
    words, outputs = tensors.shape(packed, 2)
    inputs = words * 32 // bits
    groups = -(-inputs // (size or inputs))
    if inputs * bits % 32 or words * 32 % bits or outputs * bits % 32:
        raise CheckpointError(
            tensors.where(packed), "has a wrong shape", got=(words, outputs),
            need=f"whole words of {bits} bits each",
        )  # fmt: skip
    tensors.check(zeros, (groups, outputs * bits // 32))
    tensors.check(scales, (groups, outputs))
    ordered = order in tensors
    if ordered:
        tensors.check(order, (inputs,))

    def values() -> Array:
        import numpy as np

        numbers = unpacked(tensors.stored(packed, "I32", "U32"), bits, inputs)
        less = unpacked(tensors.stored(zeros, "I32", "U32").T.copy(), bits, outputs).T
        zero = ((less.astype(np.int32) + added) & ((1 << bits) - 1)).astype(np.float32)
        own = np.arange(inputs) // (size or inputs)
        if ordered:
            own = tensors.stored(order, "I32", "I64")
            if own.min() < 0 or own.max() >= groups:
                raise CheckpointError(
                    tensors.where(order), "names a group that is not there",
                    got=f"{own.min()} to {own.max()}", need=f"0 to {groups - 1}",
                )  # fmt: skip
        return grouped(numbers, zero, tensors.float32(scales), own).T

    return QuantizedWeight(
        name=f"{module}.weight",
        shape=(outputs, inputs),
        pieces=(packed, zeros, scales, *((order,) if ordered else ())),
        values=values,
    )


QUANTIZATION = Gptq()
