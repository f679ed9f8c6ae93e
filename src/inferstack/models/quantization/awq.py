"""AWQ's checkpoints in the layout of its matrix product (gemm): 4 bits in words along the outputs.

Of each module: qweight (inputs, outputs / 8), qzeros (groups, outputs / 8), scales (groups,
outputs). A word holds eight outputs, the even ones first.
Source: Lin et al. 2023, arXiv:2306.00978; AutoAWQ, utils/packing_utils.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile
from inferstack.models.packed_integers import grouped
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

BITS, EACH = 4, 8
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""The output in each place of a word, the lowest bits first."""


class Awq(QuantizationMethod):
    """See the module."""

    methods = frozenset({"awq"})

    def counted(self, config: ConfigFile) -> Quantized:
        """Float16 scales by groups of inputs; zero points unless they are switched off."""
        bits = config.whole_or("bits", BITS, 8, least=2)
        zero = bits if config.flag("zero_point", True) else 0
        return Quantized(
            method="awq", bits=bits, rows=group_size(config), columns=1, scale_bits=16 + zero
        )

    def weights(self, config: ConfigFile, tensors: StoredTensors) -> Iterable[QuantizedWeight]:
        """See `QuantizationMethod`."""
        config.only("bits", BITS)
        config.only("zero_point", True)
        for key in ("version", "format"):
            if config.has(key) and (kind := config.text(key)).lower() != "gemm":
                raise CheckpointError(
                    config.where, f"{key} is not read", got=printable(kind), need="gemm"
                )
        size = group_size(config)
        for module in tensors.ending(".qweight"):
            yield _weight(module, size, tensors)


def _weight(module: str, size: int | None, tensors: StoredTensors) -> QuantizedWeight:
    pieces = tuple(f"{module}.{name}" for name in ("qweight", "qzeros", "scales"))
    packed, zeros, scales = pieces
    inputs, words = tensors.shape(packed, 2)
    outputs = words * EACH
    groups = -(-inputs // (size or inputs))
    tensors.check(zeros, (groups, words))
    tensors.check(scales, (groups, outputs))

    def values() -> Array:
        import numpy as np

        numbers = _outputs(tensors.stored(packed, "I32", "U32"))
        zero = _outputs(tensors.stored(zeros, "I32", "U32")).astype(np.float32)
        own = np.arange(inputs) // (size or inputs)
        return grouped(numbers, zero, tensors.float32(scales), own).T

    return QuantizedWeight(
        name=f"{module}.weight", shape=(outputs, inputs), pieces=pieces, values=values
    )


def _outputs(words: Array) -> Array:
    """(rows, words) int32 -> (rows, 8 words) uint8, in the order of the outputs."""
    import numpy as np

    found = np.empty((len(words), words.shape[1] * EACH), dtype=np.uint8)
    for place, output in enumerate(ORDER):
        found[:, output::EACH] = (words.view(np.uint32) >> np.uint32(BITS * place)) & np.uint32(15)
    return found


QUANTIZATION = Awq()
