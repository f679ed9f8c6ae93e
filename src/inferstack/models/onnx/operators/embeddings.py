"""ONNX Runtime's embeddings of an encoder in one node."""

from __future__ import annotations

from inferstack.models.onnx.file import Node, Shapes
from inferstack.models.onnx.operators.norms import norm
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.source import View
from inferstack.models.onnx.view import plain


def embed(recovery: Recovery, node: Node) -> tuple[View | None, ...]:
    """EmbedLayerNormalization: words, positions, types, and their norm. Fourth, their sum."""
    ids, types = node.inputs[0], node.input(1)
    if node.input(8) is not None and not recovery.is_known(node.inputs[8]):
        raise recovery.error(node, "has positions that run")
    if node.attributes.get("mask_index_type"):
        raise recovery.error(node, "makes lengths of its mask, which are not read")
    words = recovery.ids(ids, node).tensor
    table = recovery.declare(recovery.constant(node.inputs[2]))
    x = recovery.write("embedding", f"{node.name}.words", {"table": table, "ids": words.name})
    rows = recovery.declare(recovery.constant(node.inputs[3]))
    inputs = {"table": rows, "ids": words.name}
    places = recovery.write(
        "position_embedding", f"{node.name}.positions", inputs, {"first": recovery.first}
    )
    x = recovery.write("add", f"{node.name}.add", {"a": x.name, "b": places.name})
    third = node.input(4)
    if third is not None:
        kinds = recovery.declare(recovery.constant(third))
        if types is None:
            raise recovery.error(node, "has a table of types that nothing picks from")
        if recovery.is_known(types):
            if recovery.program.value(types).any():
                raise recovery.error(node, "has types that are no zeros and no input")
            first = recovery.constant(third)
            row = first.made("first", first.shape[1:], lambda values: values[0])
            inputs = {"a": x.name, "b": recovery.declare(row)}
        else:
            own = recovery.ids(types, node).tensor
            inputs = {"table": kinds, "ids": own.name}
            made = recovery.write("embedding", f"{node.name}.types", inputs)
            inputs = {"a": x.name, "b": made.name}
        x = recovery.write("add", f"{node.name}.add_types", inputs)
    total = View(source=x, axes=plain(x.shape))
    epsilon = float(node.attributes.get("epsilon", 1e-12))
    return (
        norm(recovery, total, "layernorm", node.inputs[5], node.inputs[6], epsilon, node),
        None,
        total,
    )


def _shapes(node: Node, shapes: Shapes) -> Shapes:
    whole = (*shapes[0], shapes[2][1])
    return [whole, (shapes[0][0],), whole]


OPERATORS = {"com.microsoft.EmbedLayerNormalization": embed}
SHAPES = {"com.microsoft.EmbedLayerNormalization": _shapes}
