"""compressed-tensors, of llm-compressor: 8-bit floats, int8, and packed integers.

float-quantized and int-quantized: weight (outputs, inputs), weight_scale, weight_zero_point.
pack-quantized: weight_packed (outputs, words), in which a number of b bits stands as itself plus
2^(b-1), and no number in two words; weight_shape; weight_scale (outputs, groups); weight_zero_point
packed along the outputs; weight_g_idx (inputs).
Source: vllm-project/compressed-tensors, compressors/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile
from inferstack.models.packed_integers import grouped, unpacked_apart
from inferstack.models.quantization.fp8 import scaled
from inferstack.models.quantized import (
    QuantizationMethod,
    QuantizedWeight,
    StoredTensors,
)
from inferstack.models.stored_sizes import Quantized

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

PLAIN, PACKED = ("float-quantized", "int-quantized", "naive-quantized"), "pack-quantized"
STRATEGIES = ("tensor", "channel", "group", "block")
SMALL_KINDS = ("F8_E4M3", "I8")


class CompressedTensors(QuantizationMethod):
    """See the module."""

    methods = frozenset({"compressed-tensors"})

    def counted(self, config: ConfigFile) -> Quantized:
        """By the first group of modules; scales of 16 bits, and zero points where it has any."""
        said = _arguments(config)
        bits, rows, columns = _bits(said), None, 1 if _strategy(said) != "tensor" else None
        if _strategy(said) == "group":
            rows = said.whole("group_size", 2**16)
        if _strategy(said) == "block":
            high, wide = _block(said)
            rows, columns = wide, high
        zero = 0 if said.flag("symmetric", True) else bits
        return Quantized(
            method="compressed-tensors", bits=bits, rows=rows, columns=columns,
            scale_bits=16 + zero,
        )  # fmt: skip

    def weights(self, config: ConfigFile, tensors: StoredTensors) -> Iterable[QuantizedWeight]:
        """See `QuantizationMethod`."""
        kind = config.text("format")
        if kind not in (*PLAIN, PACKED):
            need = f"one of {', '.join((*PLAIN, PACKED))}"
            raise CheckpointError(
                config.where, "format is not read", got=printable(kind), need=need
            )
        sparse = config.content.get("sparsity_config")
        if isinstance(sparse, dict) and sparse.get("format", "dense") != "dense":
            raise CheckpointError(config.where, "sparsity_config is not read")
        said = _arguments(config)
        if kind == PACKED:
            bits = _bits(said)
            for module in tensors.ending(".weight_packed"):
                yield _packed(module, bits, tensors)
            return
        block = _block(said) if _strategy(said) == "block" else None
        for module in tensors.ending(".weight"):
            name = f"{module}.weight"
            if tensors.kind(name) in SMALL_KINDS:
                zero = f"{name}_zero_point"
                has_zero = zero in tensors and tensors.kind(name) == "I8"
                yield scaled(name, f"{name}_scale", tensors, block, zero if has_zero else None)


def _arguments(config: ConfigFile) -> ConfigFile:
    """What is said of the weights, which must be one thing."""
    groups = config.value("config_groups")
    found: list[Mapping[str, object]] = []
    for group in groups.values() if isinstance(groups, dict) else ():
        said = group.get("weights") if isinstance(group, dict) else None
        if isinstance(said, dict) and said not in found:
            found.append(said)
    if len(found) != 1:
        raise CheckpointError(
            config.where, "config_groups says more or less than one thing of weights",
            got=f"{len(found)} different ones", need="one",
        )  # fmt: skip
    return ConfigFile(f"{config.where}, config_groups, weights", found[0])


def _bits(said: ConfigFile) -> int:
    return said.whole("num_bits", 8, least=2)


def _strategy(said: ConfigFile) -> str:
    kind = said.text("strategy")
    if kind not in STRATEGIES:
        need = f"one of {', '.join(STRATEGIES)}"
        raise CheckpointError(said.where, "strategy is not read", got=printable(kind), need=need)
    return kind


def _block(said: ConfigFile) -> tuple[int, int]:
    """Outputs and inputs of a block."""
    high, wide = said.numbers("block_structure", 2, least=1)
    return int(high), int(wide)


def _packed(module: str, bits: int, tensors: StoredTensors) -> QuantizedWeight:
    packed, shape_name, scale, zero, order = (
        f"{module}.weight_{name}" for name in ("packed", "shape", "scale", "zero_point", "g_idx")
    )
    each = 32 // bits
    tensors.check(shape_name, (2,))
    outputs, inputs = (int(n) for n in tensors.stored(shape_name, "I64", "I32"))
    tensors.check(packed, (outputs, -(-inputs // each)))
    groups = tensors.shape(scale, 2)[1]
    tensors.check(scale, (outputs, groups))
    pieces = [packed, shape_name, scale]
    if zero in tensors:
        pieces.append(zero)
        tensors.check(zero, (-(-outputs // each), groups), (outputs, groups))
    if order in tensors:
        pieces.append(order)
        tensors.check(order, (inputs,))
    if order not in tensors and inputs % groups:
        raise CheckpointError(
            tensors.where(scale), "has groups of different lengths", got=groups,
            need=f"a divisor of {inputs}",
        )  # fmt: skip

    def values() -> Array:
        import numpy as np

        half = 1 << (bits - 1)
        numbers = unpacked_apart(tensors.stored(packed, "I32").T, bits)[:inputs]
        centre = np.full((groups, outputs), half, dtype=np.float32)
        if zero in tensors and tensors.kind(zero) == "I8":
            tensors.check(zero, (outputs, groups))
            centre += tensors.stored(zero, "I8").T
        elif zero in tensors:
            tensors.check(zero, (-(-outputs // each), groups))
            centre = unpacked_apart(tensors.stored(zero, "I32"), bits)[:outputs].T
            centre = centre.astype(np.float32)
        own = np.arange(inputs) // (inputs // groups)
        if order in tensors:
            own = tensors.stored(order, "I32", "I64")
            # Of modules whose order was not changed it is -1.
            own = np.arange(inputs) // (inputs // groups) if own.max() < 0 else own
            if own.min() < 0 or own.max() >= groups:
                raise CheckpointError(
                    tensors.where(order), "names a group that is not there",
                    got=f"{own.min()} to {own.max()}", need=f"0 to {groups - 1}",
                )  # fmt: skip
        return grouped(numbers, centre, tensors.float32(scale).T, own).T

    return QuantizedWeight(
        name=f"{module}.weight", shape=(outputs, inputs), pieces=tuple(pieces), values=values
    )


QUANTIZATION = CompressedTensors()
