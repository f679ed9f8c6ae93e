"""8-bit floats with a scale for each block, each output, or the whole matrix.

Of each module: weight (outputs, inputs) in F8_E4M3, and weight_scale_inv (DeepSeek; what the values
are multiplied with, in spite of its name) or weight_scale (fbgemm). Scales of activations are of no
use here: everything runs in float32.
Source: DeepSeek-V3, inference/kernel.py, weight_dequant; transformers,
integrations/finegrained_fp8.py and fbgemm_fp8.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile
from inferstack.models.quantized import SCALES, QuantizationMethod, QuantizedWeight, StoredTensors
from inferstack.models.stored_sizes import Quantized

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

KINDS = ("F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")


class Fp8(QuantizationMethod):
    """See the module."""

    methods = frozenset({"fp8", "fbgemm_fp8"})

    def counted(self, config: ConfigFile) -> Quantized:
        """A float32 per block, per output, or one for the whole matrix."""
        block = _block(config)
        rows, columns = (block[1], block[0]) if block else (None, None)
        if config.text("quant_method") == "fbgemm_fp8":
            rows, columns = None, 1
        return Quantized(method="fp8", bits=8, rows=rows, columns=columns, scale_bits=32)

    def weights(self, config: ConfigFile, tensors: StoredTensors) -> Iterable[QuantizedWeight]:
        """See `QuantizationMethod`."""
        block = _block(config)
        for name in tensors.ending(""):
            if tensors.kind(name) in KINDS:
                scales = [f"{name}_{end}" for end in SCALES]
                scale = next((one for one in scales if one in tensors), scales[0])
                yield scaled(name, scale, tensors, block)


def _block(config: ConfigFile) -> tuple[int, int] | None:
    """Outputs and inputs of a block."""
    block = config.optional("weight_block_size", None)
    if block is None:
        return None
    if (
        not isinstance(block, list)
        or len(block) != 2
        or not all(type(edge) is int and 1 <= edge <= 2**16 for edge in block)
    ):
        raise CheckpointError(
            config.where, "weight_block_size makes no sense", got=printable(str(block)),
            need="two whole numbers",
        )  # fmt: skip
    return block[0], block[1]


def scaled(
    stored: str,
    scale: str,
    tensors: StoredTensors,
    block: tuple[int, int] | None,
    zero: str | None = None,
) -> QuantizedWeight:
    """A matrix of small numbers, less their zero point, by its scales: one, one for each output, or
    one for each block, the last of a row or a column narrower."""
    outputs, inputs = shape = tensors.shape(stored, 2)
    high, wide = block or shape
    allowed: list[tuple[int, ...]] = [(-(-outputs // high), -(-inputs // wide))]
    if block is None:
        allowed += [(), (1,), (outputs, 1), (outputs,)]
    pieces = [stored, scale] if zero is None else [stored, scale, zero]
    for one in pieces[1:]:
        tensors.check(one, *allowed)

    def spread(values: Array) -> Array:
        """The scale of every element, or what broadcasts to it."""
        import numpy as np

        if block is None:
            return values.reshape(-1, 1)
        return np.repeat(np.repeat(values, high, axis=0)[:outputs], wide, axis=1)[:, :inputs]

    def values() -> Array:
        import numpy as np

        if tensors.kind(stored) in KINDS:
            found: Array = tensors.float32(stored)
        else:
            found = tensors.stored(stored, "I8").astype(np.float32)
        if zero is not None:
            found -= spread(tensors.stored(zero, "I8").astype(np.float32))
        found *= spread(tensors.float32(scale))
        return found

    return QuantizedWeight(name=stored, shape=shape, pieces=tuple(pieces), values=values)


QUANTIZATION = Fp8()
