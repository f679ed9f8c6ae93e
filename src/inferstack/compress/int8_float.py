"""The baseline: matmuls on int8, everything else in floating point with (de)quantization around it.

What a CNN accelerator does with a Transformer: it has no unit for softmax, LayerNorm and GELU, so
their operands leave as int32, become float on the host, and come back as int8. Links between two
matmuls stay int8. Source: Kim et al. 2023, arXiv:2302.14017, section 3.4.
"""

from __future__ import annotations

import dataclasses

from inferstack.compress.calibration import Calibration
from inferstack.compress.lowering import ARRAY_KINDS, Integer, Lowering, tensor_scale
from inferstack.core.dtypes import DType
from inferstack.ir.graph import Graph, Operator, TensorRole


class Int8Float:
    """The method: see the module."""

    name = "int8-float"
    description = "int8 matmuls, everything else in floating point on the host"

    def apply(self, graph: Graph, calibration: Calibration) -> Graph:
        """The rewritten graph. Raises InputError for matmuls of two activations."""
        lowering = _Int8FloatLowering(graph, calibration, self.name)
        for operator in graph.operators:
            lowering.lower(operator)
        return lowering.builder.build(tuple(lowering.as_float(name) for name in graph.outputs))


class _Int8FloatLowering(Lowering):
    """Forms appear when they are asked for, each once."""

    def lower(self, operator: Operator) -> None:
        """Add the operator, on int8 where the array computes it."""
        first = self.graph.tensors[next(iter(operator.inputs.values()))]
        # A product of weights alone is the same for every sentence.
        if operator.kind not in ARRAY_KINDS or first.role is TensorRole.WEIGHT:
            inputs = {slot: self.as_float(name) for slot, name in operator.inputs.items()}
            self.floats[operator.output] = self.builder.add(
                operator.kind, operator.name, inputs, operator.attributes, part=operator.part
            )
            return
        consumers = self.graph.consumers(operator.output)
        stays = bool(consumers) and all(user.kind in ARRAY_KINDS for user in consumers)
        if operator.kind == "matmul":
            self.matmul(operator, stays)
        elif operator.kind == "attention_scores":
            self.attention_scores(operator)
        else:
            self.attention_context(operator, stays)

    def int8(self, operator: Operator, slot: str) -> Integer:
        """The operand as int8, quantized on the host where it is float, or int32 for others too."""
        name = operator.inputs[slot]
        held = self.integers.get(name)
        if held is not None and held.dtype is DType.INT32:
            self.as_float(name)
            held = None
        if held is None and name in self.floats:
            self.integers[name] = self.quantized(operator, name, slot == "probabilities")
        return super().int8(operator, slot)

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

    def takes_integers(self, user: Operator) -> bool:
        """The array's operators; the host's read floating point."""
        return user.kind in ARRAY_KINDS

    def as_float(self, name: str) -> str:
        """The tensor in floating point: as it is, or dequantized on the host."""
        if name in self.floats:
            return self.floats[name]
        if name not in self.integers:
            self.floats[name] = self.static_float(name)
            return self.floats[name]
        value = self.integers[name]
        self.floats[name] = dequantized(self, name, value)
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


METHOD = Int8Float()
