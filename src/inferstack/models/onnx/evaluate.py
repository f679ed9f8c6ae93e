"""Nodes on arrays, by the reference implementation of the package `onnx`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from inferstack.models.onnx.file import Node

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

FLOAT_TYPES = frozenset({1, 10, 11, 16})
"""Of a Cast between floating-point types: kept as it is, so that more digits are never lost."""
CONTROL = frozenset({"If", "Loop", "Scan", "SequenceMap"})
RANDOM = ("Random", "Multinomial", "Bernoulli")
MICROSOFT = "com.microsoft."


class CannotEvaluateError(Exception):
    """A node has no reference, or its inputs do not fit."""


def run_node(node: Node, inputs: Sequence[Array | None], opset: int) -> tuple[Array, ...]:
    """The outputs of a node. Raises CannotEvaluateError."""
    import numpy as np

    if node.kind in CONTROL or node.kind.startswith(RANDOM):
        raise CannotEvaluateError(f"{node.kind} is not evaluated")
    if node.kind == "Cast":
        x = inputs[0]
        assert x is not None, "shape inference has seen it"
        if node.attributes["to"] in FLOAT_TYPES and x.dtype.kind == "f":
            return (x,)
    if node.kind == "GatherElements":
        return (_gathered(node, inputs),)
    inputs = _of_one_type(inputs)
    runner = _runner(node, opset)
    try:
        with np.errstate(all="ignore"):
            found = runner.run(*inputs)
    except Exception as failure:  # noqa: BLE001 - the library raises what it likes
        text = f"{type(failure).__name__}: {failure}"
        raise CannotEvaluateError(text[:200]) from None
    return tuple(np.asarray(one) for one in found)


def _gathered(node: Node, inputs: Sequence[Array | None]) -> Array:
    """GatherElements, which the reference gets wrong where few are picked of many."""
    import numpy as np

    data, index = inputs
    assert data is not None, "shape inference has seen it"
    assert index is not None, "shape inference has seen it"
    axis = int(node.attributes.get("axis", 0)) % data.ndim
    near = tuple(slice(None) if n == axis else slice(size) for n, size in enumerate(index.shape))
    picked: Array = np.take_along_axis(data[near], index % data.shape[axis], axis)
    return picked


def _of_one_type(inputs: Sequence[Array | None]) -> list[Array | None]:
    """Floating-point inputs at the width of the widest: casts keep what is more exact."""
    import numpy as np

    floats = {x.dtype for x in inputs if x is not None and x.dtype.kind in "fV"}
    if len(floats) < 2:
        return list(inputs)
    widest = np.float64 if np.dtype(np.float64) in floats else np.float32
    return [x.astype(widest) if x is not None and x.dtype.kind in "fV" else x for x in inputs]


def _runner(node: Node, opset: int) -> Any:
    from onnx.reference.op_run import OpRun

    proto = node.proto
    kind = node.kind.removeprefix(MICROSOFT)
    known: type[OpRun] | None = _implementation(kind, opset)
    if known is None:
        raise CannotEvaluateError(f"{node.kind} has no reference implementation")
    parameters: dict[str, Any] = {
        "log": _silent, "opsets": {"": opset}, "verbose": 0, "new_ops": None,
    }  # fmt: skip
    return known(proto, parameters)


@cache
def _implementation(kind: str, opset: int) -> Any:
    from onnx import defs
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.ops import load_op

    # Of some operators it has only the later versions, which compute the same.
    for version in range(opset, defs.onnx_opset_version() + 1):
        try:
            return load_op("", kind, version, evaluator_cls=ReferenceEvaluator)
        except Exception:  # noqa: BLE001 - of several kinds, by version of the library
            continue
    return None


def _silent(*_: object) -> None:
    """The reference's log."""
