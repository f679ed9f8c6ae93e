"""Norms that are one node."""

from __future__ import annotations

from inferstack.models.onnx.file import Node, Shapes
from inferstack.models.onnx.operators.elementwise import add_known, sum_of
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.source import View


def norm(
    recovery: Recovery, x: View, kind: str, gamma: str, beta: str | None, epsilon: float, node: Node
) -> View:
    """A norm over the last axis."""
    made, axes, width = recovery.rows(x, node)
    names = {"gamma": gamma} if beta is None else {"gamma": gamma, "beta": beta}
    inputs = {"x": made.name}
    for slot, name in names.items():
        if not recovery.is_known(name):
            raise recovery.error(node, f"has a {slot} that runs")
        constant = recovery.constant(name)
        if constant.shape != (width,):
            raise recovery.error(
                node, f"is a norm over more than the last axis: its {slot}", got=constant.shape,
                need=(width,),
            )  # fmt: skip
        inputs[slot] = recovery.declare(constant)
    says: dict[str, int | float] = {"epsilon": epsilon}
    if width != made.shape[-1]:
        says["width"] = width
    return View(source=recovery.write(kind, node, inputs, says), axes=axes)


def layer_norm(recovery: Recovery, node: Node) -> View:
    """LayerNormalization, and that of ONNX Runtime without a mean."""
    says, x = node.attributes, recovery.view(node.inputs[0])
    axis = int(says.get("axis", -1))
    if axis not in (-1, len(x.shape) - 1):
        raise recovery.error(node, "is a norm over several axes", got=f"from axis {axis} on")
    simple = node.kind != "LayerNormalization"
    return norm(
        recovery, x, "rmsnorm" if simple else "layernorm", node.inputs[1],
        None if simple else node.input(2), float(says.get("epsilon", 1e-5)), node,
    )  # fmt: skip


def skip_norm(recovery: Recovery, node: Node) -> tuple[View | None, ...]:
    """A residual and a norm: outputs the norm and, fourth, the sum."""
    simple = "Simplified" in node.kind
    x = recovery.view(node.inputs[0])
    skip = node.inputs[1]
    beta, bias = (None, node.input(3)) if simple else (node.input(3), node.input(4))
    if bias is not None:
        x = add_known(recovery, x, bias, node)
    if recovery.is_known(skip):
        total = add_known(recovery, x, skip, node)
    else:
        total = sum_of(recovery, x, recovery.view(skip), node)
    kind = "rmsnorm" if simple else "layernorm"
    epsilon = float(node.attributes.get("epsilon", 1e-12))
    return norm(recovery, total, kind, node.inputs[2], beta, epsilon, node), None, None, total


def _skip_shapes(node: Node, shapes: Shapes) -> Shapes:
    rows = (*shapes[0][:-1], 1)
    return [shapes[0], rows, rows, shapes[0]]


def _same(node: Node, shapes: Shapes) -> Shapes:
    return [shapes[0]]


SIMPLE = ("SimplifiedLayerNormalization", "com.microsoft.SimplifiedLayerNormalization")
OPERATORS = {
    "LayerNormalization": layer_norm,
    "RMSNormalization": layer_norm,
    **dict.fromkeys(SIMPLE, layer_norm),
    "com.microsoft.SkipLayerNormalization": skip_norm,
    "com.microsoft.SkipSimplifiedLayerNormalization": skip_norm,
}
SHAPES = {
    **dict.fromkeys(SIMPLE, _same),
    "com.microsoft.SkipLayerNormalization": _skip_shapes,
    "com.microsoft.SkipSimplifiedLayerNormalization": _skip_shapes,
}
