"""Quantized nodes, by dequantized values: weights as their integers stand for, activations as they
are in floating point.

A file that quantizes activations gives slightly other values than these, by its rounding.
Source: onnx, docs/Operators.md; ONNX Runtime, docs/ContribOperators.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inferstack.models.onnx.file import Node, Shapes
from inferstack.models.onnx.operators.elementwise import add_known
from inferstack.models.onnx.operators.matmul import linear
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.source import Constant, Lookup, Unit, View

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

ROUNDED = "activations that the file quantizes are read in floating point, without its rounding"


def dynamic(recovery: Recovery, node: Node) -> tuple[View | Unit, ...]:
    """DynamicQuantizeLinear: the value, its unit, its zero point."""
    recovery.notes[ROUNDED] = None
    unit = Unit(name=node.outputs[1])
    return recovery.view(node.inputs[0]), unit, unit


def quantize(recovery: Recovery, node: Node) -> View:
    """QuantizeLinear of an activation: nothing is rounded."""
    recovery.notes[ROUNDED] = None
    return recovery.view(node.inputs[0])


def dequantize(recovery: Recovery, node: Node) -> View:
    """DequantizeLinear of an activation, or of rows that are looked up in an integer table."""
    x = recovery.view(node.inputs[0])
    if not isinstance(x.source, Lookup) or not x.source.integers:
        return x
    table = dequantized(recovery, x.source.table, node.input(1), node.input(2), node, axis=-1)
    return replace(x, source=replace(x.source, table=table, integers=False))


def dequantized(
    recovery: Recovery, of: Constant, scale: str | None, zero: str | None, node: Node, axis: int
) -> Constant:
    """(integers - zero) * scale; those of one axis, or one of each for all."""
    import numpy as np

    if scale is not None and not recovery.is_known(scale):
        raise recovery.error(node, "has weights whose unit runs")
    if zero is not None and not recovery.is_known(zero):
        raise recovery.error(node, "has weights whose zero point runs")

    def spread(values: Array) -> Array:
        flat = values.reshape(-1).astype(np.float32)
        if flat.size == 1:
            return flat.reshape((1,) * len(of.shape))
        shape = [1] * len(of.shape)
        shape[axis] = flat.size
        return flat.reshape(shape)

    def change(values: Array) -> Array:
        real = values.astype(np.float32)
        if zero is not None:
            real = real - spread(recovery.program.value(zero))
        return real if scale is None else real * spread(recovery.program.value(scale))

    return of.made(f"dequantized by {scale}, {zero}", of.shape, change)


def matmul_integer(recovery: Recovery, node: Node) -> View:
    """MatMulInteger: too large by the unit of its first operand until that is multiplied in."""
    a, b = node.inputs[:2]
    if not recovery.is_known(b):
        raise recovery.error(node, "is a product of two quantized activations, which is not read")
    quantizer = recovery.node(a)
    if quantizer.kind != "DynamicQuantizeLinear":
        raise recovery.error(
            node, "multiplies integers that no DynamicQuantizeLinear made", got=quantizer.kind
        )
    weight = dequantized(recovery, recovery.constant(b), None, node.input(3), node, axis=-1)
    made = linear(recovery, recovery.view(a), weight, node)
    return replace(made, per=quantizer.outputs[1])


def matmul_in_floats(recovery: Recovery, node: Node) -> View:
    """ONNX Runtime's MatMulIntegerToFloat and DynamicQuantizeMatMul."""
    dynamic_a = node.kind.endswith("DynamicQuantizeMatMul")
    b = node.inputs[1]
    scale, zero, bias = (2, 3, 4) if dynamic_a else (3, 5, 6)
    if not recovery.is_known(b):
        raise recovery.error(node, "is a product of two quantized activations, which is not read")
    recovery.notes[ROUNDED] = None
    weight = dequantized(
        recovery, recovery.constant(b), node.input(scale), node.input(zero), node, axis=-1
    )
    made = linear(recovery, recovery.view(node.inputs[0]), weight, node)
    name = node.input(bias)
    return made if name is None else add_known(recovery, made, name, node)


def qlinear_matmul(recovery: Recovery, node: Node) -> View:
    """QLinearMatMul."""
    b = node.inputs[3]
    if not recovery.is_known(b):
        raise recovery.error(node, "is a product of two quantized activations, which is not read")
    recovery.notes[ROUNDED] = None
    weight = dequantized(
        recovery, recovery.constant(b), node.input(4), node.input(5), node, axis=-1
    )
    return linear(recovery, recovery.view(node.inputs[0]), weight, node)


def matmul_nbits(recovery: Recovery, node: Node) -> View:
    """ONNX Runtime's weights of 2 to 8 bits in blocks along k, each with a scale."""
    weight = nbits(recovery, node)
    made = linear(recovery, recovery.view(node.inputs[0]), weight, node)
    bias = node.input(5)
    return made if bias is None else add_known(recovery, made, bias, node)


def nbits(recovery: Recovery, node: Node) -> Constant:
    """B (n, blocks, bytes) as (k, n). Zero points stand packed as the weights, one a block."""
    import numpy as np

    says = node.attributes
    k, n = int(says["K"]), int(says["N"])
    bits, block = int(says.get("bits", 4)), int(says["block_size"])
    order, zero = node.input(4), node.input(3)
    if bits not in (2, 4, 8) or order is not None or says.get("weight_prepacked"):
        raise recovery.error(
            node, "has weights in an order that is not read",
            got=f"{bits} bits{', in groups' if order else ''}", need="2, 4 or 8 bits, row by row",
        )  # fmt: skip
    blocks = -(-k // block)
    packed, scales = recovery.constant(node.inputs[1]), recovery.constant(node.inputs[2])
    if packed.shape != (n, blocks, block * bits // 8) or np.prod(scales.shape) != n * blocks:
        raise recovery.error(
            node, "has weights of another size than it says", got=(packed.shape, scales.shape),
            need=f"{(n, blocks, block * bits // 8)} and {n * blocks} scales",
        )  # fmt: skip

    def unpacked(values: Array) -> Array:
        each, mask = 8 // bits, 2**bits - 1
        parts = [(values >> (bits * place)) & mask for place in range(each)]
        return np.stack(parts, axis=-1).reshape(*values.shape[:-1], -1)

    def change(values: Array) -> Array:
        real = unpacked(values.view(np.uint8)).astype(np.float32)
        centre: Any = np.float32(2 ** (bits - 1))
        if zero is not None:
            zeros = recovery.constant(zero).values()
            if zeros.dtype == np.uint8:
                zeros = unpacked(zeros.reshape(n, -1))[:, :blocks]
            centre = zeros.reshape(n, blocks, 1).astype(np.float32)
        real = (real - centre) * scales.values().reshape(n, blocks, 1).astype(np.float32)
        return np.ascontiguousarray(real.reshape(n, -1)[:, :k].T)

    return packed.made(f"{bits} bits", (k, n), change)


def _columns(node: Node, shapes: Shapes) -> Shapes:
    return [(*shapes[0][:-1], shapes[1][-1])]


def _named_columns(node: Node, shapes: Shapes) -> Shapes:
    return [(*shapes[0][:-1], int(node.attributes["N"]))]


def _same(node: Node, shapes: Shapes) -> Shapes:
    return [shapes[0]]


OPERATORS = {
    "DynamicQuantizeLinear": dynamic,
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
    "com.microsoft.QuantizeLinear": quantize,
    "com.microsoft.DequantizeLinear": dequantize,
    "MatMulInteger": matmul_integer,
    "QLinearMatMul": qlinear_matmul,
    "com.microsoft.MatMulIntegerToFloat": matmul_in_floats,
    "com.microsoft.DynamicQuantizeMatMul": matmul_in_floats,
    "com.microsoft.MatMulNBits": matmul_nbits,
}
SHAPES = {
    "com.microsoft.QuantizeLinear": _same,
    "com.microsoft.DequantizeLinear": _same,
    "com.microsoft.MatMulIntegerToFloat": _columns,
    "com.microsoft.DynamicQuantizeMatMul": _columns,
    "com.microsoft.MatMulNBits": _named_columns,
}
