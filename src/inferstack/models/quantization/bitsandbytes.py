"""bitsandbytes: int8 by outputs, and 4-bit codes (nf4, fp4) by blocks of weights.

int8: weight (outputs, inputs), SCB (outputs), the largest value of each output, as 127. 4 bits:
weight, two codes a byte, the first in the high half; weight.absmax, of each block;
weight.quant_map, the value of each code; weight.quant_state.bitsandbytes__*, JSON with shape and
blocksize. Where absmax is quantized too (nested), its codes are bytes with a map and an absmax of
their own, and an offset.
Source: Dettmers et al. 2022, arXiv:2208.07339, and 2023, arXiv:2305.14314; bitsandbytes,
functional.py, QuantState and dequantize_4bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile, parse_json
from inferstack.models.quantized import QuantizationMethod, QuantizedWeight, StoredTensors
from inferstack.models.stored_sizes import Quantized

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

BLOCK, OUTER_BLOCK = 64, 256
STATE = ".quant_state.bitsandbytes__"
CODES = ("nf4", "fp4")
LARGEST_STATE_BYTES = 2**16


class BitsAndBytes(QuantizationMethod):
    """See the module."""

    methods = frozenset({"bitsandbytes"})

    def counted(self, config: ConfigFile) -> Quantized:
        """8 bits: a float32 per output. 4 bits: a float32 per 64 weights, or 8 bits, nested."""
        if config.content.get("load_in_4bit") is True:
            nested = config.flag("bnb_4bit_use_double_quant", False)
            scale = 8 + 32 / OUTER_BLOCK if nested else 32.0
            return Quantized(method="bitsandbytes", bits=4, rows=BLOCK, columns=1, scale_bits=scale)
        if config.content.get("load_in_8bit") is True:
            return Quantized(method="bitsandbytes", bits=8, rows=None, columns=1, scale_bits=32)
        raise CheckpointError(
            config.where, "does not say its bits", need="load_in_4bit or load_in_8bit of true"
        )

    def weights(self, config: ConfigFile, tensors: StoredTensors) -> Iterable[QuantizedWeight]:
        """See `QuantizationMethod`."""
        self.counted(config)
        for module in tensors.ending(".SCB"):
            yield _int8(module, tensors)
        for kind in CODES:
            for name in tensors.ending(f"{STATE}{kind}"):
                yield _codes(name, f"{name}{STATE}{kind}", tensors)


def _int8(module: str, tensors: StoredTensors) -> QuantizedWeight:
    name, scale, form = (f"{module}.{end}" for end in ("weight", "SCB", "weight_format"))
    outputs, inputs = tensors.shape(name, 2)
    tensors.check(scale, (outputs,))
    pieces = [name, scale]
    if form in tensors:
        pieces.append(form)
        tensors.check(form, (), (1,))

    def values() -> Array:
        import numpy as np

        if form in tensors and (number := int(tensors.stored(form, "U8").reshape(-1)[0])):
            raise CheckpointError(
                tensors.where(form), "is a layout that is not read", got=number, need="0, by rows"
            )
        sizes = tensors.float32(scale) / np.float32(127)
        return tensors.stored(name, "I8").astype(np.float32) * sizes[:, None]

    return QuantizedWeight(name=name, shape=(outputs, inputs), pieces=tuple(pieces), values=values)


def _codes(name: str, state_name: str, tensors: StoredTensors) -> QuantizedWeight:
    state, shape = _state(state_name, tensors)
    count = math.prod(shape)
    block = state.whole("blocksize", 2**16)
    blocks = -(-count // block)
    absmax, code = f"{name}.absmax", f"{name}.quant_map"
    size = -(-count // 2)
    tensors.check(name, (size, 1), (1, size), (size,))
    tensors.check(absmax, (blocks,))
    tensors.check(code, (16,))
    pieces = [name, state_name, absmax, code]
    nested = "nested_blocksize" in state.content
    outer, outer_code = f"{name}.nested_absmax", f"{name}.nested_quant_map"
    if nested:
        pieces += [outer, outer_code]
        tensors.check(outer, (-(-blocks // state.whole("nested_blocksize", 2**16)),))
        tensors.check(outer_code, (256,))

    def sizes() -> Array:
        import numpy as np

        if not nested:
            return tensors.float32(absmax)
        each = np.arange(blocks) // state.whole("nested_blocksize", 2**16)
        inner = tensors.float32(outer_code)[tensors.stored(absmax, "U8")]
        offset = np.float32(state.number("nested_offset", -1e30, 1e30))
        found: Array = inner * tensors.float32(outer)[each] + offset
        return found

    def values() -> Array:
        import numpy as np

        packed = tensors.stored(name, "U8").reshape(-1)
        numbers = np.stack([packed >> 4, packed & 15], axis=1).reshape(-1)[:count]
        found = tensors.float32(code)[numbers]
        found *= np.repeat(sizes(), block)[:count]
        return found.reshape(shape)

    return QuantizedWeight(name=name, shape=shape, pieces=tuple(pieces), values=values)


def _state(name: str, tensors: StoredTensors) -> tuple[ConfigFile, tuple[int, ...]]:
    """The JSON in a tensor of bytes, and the shape that it says."""
    where = tensors.where(name)
    (size,) = tensors.shape(name, 1)
    if size > LARGEST_STATE_BYTES:
        raise CheckpointError(where, "is too large", got=f"{size:,} bytes")
    content = parse_json(where, tensors.stored(name, "U8").tobytes())
    if not isinstance(content, dict):
        raise CheckpointError(where, "is not a JSON object")
    shape = content.get("shape")
    if not isinstance(shape, list) or not all(
        type(edge) is int and 0 < edge <= 2**40 for edge in shape
    ):
        raise CheckpointError(where, "shape makes no sense", got=printable(str(shape)))
    return ConfigFile(where, content), tuple(shape)


QUANTIZATION = BitsAndBytes()
