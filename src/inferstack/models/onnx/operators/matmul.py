"""Products: with weights, of queries and keys, of probabilities and values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inferstack.models.onnx.file import Node, Shapes
from inferstack.models.onnx.heads import context, scores, swapped
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.source import Constant, Linear, View
from inferstack.models.onnx.view import plain

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def linear(
    recovery: Recovery, x: View, weight: Constant, node: Node, bias: Constant | None = None
) -> View:
    """x W + b, not written yet; weight (k, n)."""
    while len(weight.shape) > 2 and weight.shape[0] == 1:
        weight = weight.reshaped(weight.shape[1:])
    if len(weight.shape) != 2:
        raise recovery.error(
            node, "is a product with a weight of more axes", got=weight.shape, need="(k, n)"
        )
    factor = x.factor
    if factor != 1.0 and bias is None:
        x = replace(x, factor=1.0)
    else:
        factor = 1.0
    made, axes, width = recovery.rows(x, node)
    if width != weight.shape[0] or made.shape[-1] != width:
        raise recovery.error(
            node, "is a product along a part of an axis", got=f"{made.shape} by {weight.shape}"
        )
    source = Linear(x=made, weight=weight, bias=bias, node=node.name)
    return View(source=source, axes=(*axes[:-1], plain(source.shape)[-1]), factor=factor)


def matmul(recovery: Recovery, node: Node) -> View:
    """MatMul."""
    a, b = node.inputs[:2]
    if recovery.is_known(b):
        return linear(recovery, recovery.view(a), recovery.constant(b), node)
    if recovery.is_known(a):
        raise recovery.error(node, "multiplies a constant with an activation from the left")
    return _attention(recovery, recovery.view(a), recovery.view(b), node)


def _attention(recovery: Recovery, a: View, b: View, node: Node) -> View:
    shape = recovery.program.shape(node.outputs[0], node)
    made = getattr(a.source, "name", None)
    if recovery.kinds.get(made or "") == "softmax":
        return context(recovery, a, b, node, shape)
    return scores(recovery, a, swapped(b), node, shape)


def gemm(recovery: Recovery, node: Node) -> View:
    """alpha A B + beta C."""
    says = node.attributes
    if says.get("transA") or not recovery.is_known(node.inputs[1]):
        raise recovery.error(node, "is no product with a weight", need="transA 0, a constant B")
    weight, alpha = recovery.constant(node.inputs[1]), float(says.get("alpha", 1.0))
    if says.get("transB"):
        weight = weight.transposed()
    if alpha != 1.0:
        weight = weight.made(f"*{alpha}", weight.shape, lambda x: x * alpha)
    third, beta = node.input(2), float(says.get("beta", 1.0))
    if third is None or beta == 0.0:
        return linear(recovery, recovery.view(node.inputs[0]), weight, node)
    if not recovery.is_known(third):
        raise recovery.error(node, "adds an activation", need="a constant C")
    bias, columns = recovery.constant(third), weight.shape[1]
    if bias.shape != (columns,) or beta != 1.0:

        def widened(x: Array) -> Array:
            import numpy as np

            return np.broadcast_to(x * beta, (1, columns)).reshape(columns)

        bias = bias.made(f"*{beta}", (columns,), widened)
    return linear(recovery, recovery.view(node.inputs[0]), weight, node, bias)


def fused(recovery: Recovery, node: Node) -> View:
    """ONNX Runtime's MatMul with a factor and transposes."""
    says = node.attributes
    if says.get("transBatchA") or says.get("transBatchB") or says.get("transA"):
        raise recovery.error(node, "turns its batches or A")
    alpha = float(says.get("alpha", 1.0))
    a, b = node.inputs[:2]
    if recovery.is_known(b):
        weight = recovery.constant(b)
        weight = weight.transposed() if says.get("transB") else weight
        made = linear(recovery, recovery.view(a), weight, node)
    else:
        second = recovery.view(b)
        second = swapped(second) if says.get("transB") else second
        made = _attention(recovery, recovery.view(a), second, node)
    return replace(made, factor=made.factor * alpha)


def _fused_shape(node: Node, shapes: Shapes) -> Shapes:
    a, b = shapes[:2]
    columns = b[-2] if node.attributes.get("transB") else b[-1]
    return [(*(a[:-2] if len(a) >= len(b) else b[:-2]), a[-2], columns)]


OPERATORS = {"MatMul": matmul, "Gemm": gemm, "com.microsoft.FusedMatMul": fused}
SHAPES = {"com.microsoft.FusedMatMul": _fused_shape}
