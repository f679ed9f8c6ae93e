"""Graphs written node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper, save

Array = npt.NDArray[Any]
Tensors = dict[str, Array]
IDS = ("input_ids", TensorProto.INT64, ["batch", "seq"])
MASK = ("attention_mask", TensorProto.INT64, ["batch", "seq"])
HIDDEN = ("inputs_embeds", TensorProto.FLOAT, ["batch", "seq", 16])
MICROSOFT = "com.microsoft"


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **says: Any) -> NodeProto:
    """One node; a kind with MICROSOFT in front is one of ONNX Runtime's."""
    domain, _, name = kind.rpartition(":")
    return helper.make_node(name, inputs, outputs, name=outputs[0], domain=domain, **says)


def random(*shape: int, seed: int = 0, scale: float = 0.3) -> Array:
    """Weights."""
    generator = np.random.default_rng([seed, *shape])
    return (generator.standard_normal(shape) * scale).astype(np.float32)


def build(
    path: Path,
    nodes: Sequence[NodeProto],
    tensors: Mapping[str, Array],
    inputs: Sequence[tuple[str, int, list[Any]]] = (HIDDEN,),
    outputs: Sequence[str] = ("out",),
    opset: int = 20,
) -> Path:
    """A file of these nodes."""
    graph = helper.make_graph(
        list(nodes),
        "built",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    # The runtime wants to know the types of outputs of its own operators.
    for output in graph.output:
        output.type.tensor_type.elem_type = TensorProto.FLOAT
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))
    return path
