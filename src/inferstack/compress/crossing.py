"""Lowerings of which some operators stay in floating point on the host.

Forms appear when they are asked for, each once: a dequantize in front of an operator on the host, a
quantize behind it where an operator on integers reads the result.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from inferstack.compress.lowering import Integer, Lowering, tensor_scale
from inferstack.core.dtypes import DType
from inferstack.ir.graph import Graph, Operator, TensorRole
from inferstack.ops.quantization import quantize

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

HEADROOM = 2.0
"""16 bits cover the calibrated range so many times before they clip."""


class CrossingLowering(Lowering):
    """See the module."""

    def host(self, operator: Operator) -> None:
        """An operator in floating point, on dequantized operands."""
        inputs = {slot: self.as_float(name) for slot, name in operator.inputs.items()}
        self.floats[operator.output] = self.builder.add(
            operator.kind, operator.name, inputs, operator.attributes, part=operator.part
        )

    def int8(self, operator: Operator, slot: str) -> Integer:
        """The operand as int8, quantized on the host where it is float, or wider for others too."""
        name = operator.inputs[slot]
        held = self.narrowed.get(name) or self.integers.get(name)
        if held is None or held.dtype is not DType.INT8:
            self.as_float(name)
            held = self.quantized(operator, name, slot == "probabilities")
            self.narrowed[name] = held
        return held

    def quantized(self, operator: Operator, name: str, probabilities: bool) -> Integer:
        """A quantize of the float tensor `name`: by rows, by channels, or with one unit."""
        import numpy as np

        inputs, attributes, scale = {"x": self.floats[name]}, dict[str, float | bool](), None
        if probabilities:
            attributes = {"probabilities": True}
        else:
            scale = self.channel_scale(name)
            if scale.size > 1:
                units = scale.astype(np.float32)
                scale = units.astype(np.float64)
                inputs["scale"] = self.static(
                    f"{name}.units", units, DType.FLOAT32, TensorRole.CONSTANT
                )
            else:
                attributes = {"scale": float(scale[0])}
        tensor = self.builder.add(
            "quantize",
            f"{name}.quantized",
            inputs,
            attributes,
            part=operator.part,
            scale=None if scale is None else tensor_scale(scale),
        )
        held = np.full(1, np.nan) if scale is None else scale
        return Integer(tensor=tensor, dtype=DType.INT8, scale=held)

    def sixteen(self, operator: Operator, name: str) -> Integer:
        """A quantize of the float tensor `name` to 16 bits, for what reads int32."""
        import numpy as np

        scale = HEADROOM * (self.calibration.of(name).absmax or 1.0) / (2**15 - 1)
        tensor = self.builder.add(
            "quantize",
            f"{name}.sixteen",
            {"x": self.floats[name]},
            {"scale": scale, "bits": 16},
            part=operator.part,
            scale=np.array(scale),
        )
        return Integer(tensor=tensor, dtype=DType.INT16, scale=np.array([scale]))

    def static_sixteen(self, name: str, values: Array) -> Integer:
        """A weight in 16 bits, beside its other forms."""
        import numpy as np

        scale = np.array([(float(np.abs(values).max(initial=0.0)) or 1.0) / (2**15 - 1)])
        held = quantize(values, scale, 16)
        role = self.graph.tensors[name].role
        tensor = self.static(f"{name}:16", held, DType.INT16, role, scale.reshape(()))
        return Integer(tensor=tensor, dtype=DType.INT16, scale=scale)

    def as_float(self, name: str) -> str:
        """The tensor in floating point: as it is, or dequantized on the host."""
        if name in self.floats:
            return self.floats[name]
        if name in self.integers:
            self.floats[name] = dequantized(self, name, self.integers[name])
        else:
            self.floats[name] = self.static_float(name)
        return self.floats[name]

    def static_float(self, name: str) -> str:
        """A weight as it is; under another name where a matmul has it as int8 already."""
        tensor = self.graph.tensors[name]
        if name in self.builder.tensors:
            tensor = dataclasses.replace(tensor, name=f"{name}:float")
        return self.builder.declare(tensor)


def dequantized(lowering: Lowering, name: str, value: Integer) -> str:
    """Add a dequantize of `value`, the integer form of the old tensor `name`."""
    producer = lowering.graph.producer(name)
    scale = lowering.static(
        f"{name}.scale", value.scale.astype("float32"), DType.FLOAT32, TensorRole.CONSTANT
    )
    return lowering.builder.add(
        "dequantize",
        f"{name}.dequantized",
        {"x": value.tensor, "scale": scale},
        part=producer.part if producer else "other",
    )


def kinds_on_host(graph: Graph) -> tuple[str, ...]:
    """The kinds of operators of a compressed graph that compute in floating point, in order."""
    found = (
        operator.kind
        for operator in graph.operators
        if operator.kind != "dequantize" and not graph.result(operator).dtype.is_integer
    )
    return tuple(dict.fromkeys(found))
