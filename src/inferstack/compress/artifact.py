"""The compressed model on disk: `graph.json` (structure) and `model.safetensors` (values).

What is written holds everything the next command needs; what is read is checked as any file from
outside: known keys only, sizes that agree with the values, and the rulebook over the whole graph.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.dtypes import DType
from inferstack.core.errors import CheckpointError, InputError
from inferstack.core.files import write_atomically
from inferstack.core.forms import first_fault
from inferstack.ir.graph import Graph, Operator, Tensor, TensorRole
from inferstack.models.config_file import parse_json, read_bytes
from inferstack.models.safetensors_file import open_safetensors
from inferstack.ops.verify import verify

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

FORMAT = "inferstack graph"
VERSION = 2
"""2: probabilities by rows, attention contexts divided by their sums, i-GELU's fourth power."""
GRAPH_FILE = "graph.json"
VALUES_FILE = "model.safetensors"
ELEMENTS_MAX = 2**40
LARGEST_GRAPH_BYTES = 2**28


def save(graph: Graph, folder: Path) -> tuple[Path, Path]:
    """Write `graph.json` and `model.safetensors` into `folder`, which is made; returns both paths.

    The same graph gives the same bytes; each file is replaced in one step. Raises CheckpointError
    where the folder cannot be written.
    """
    from safetensors.numpy import save as to_bytes

    values = {name: _stored(t) for name, t in graph.tensors.items() if t.data is not None}
    structure = {
        "format": FORMAT,
        "version": VERSION,
        "name": graph.name,
        "tensors": [_tensor_record(tensor) for tensor in graph.tensors.values()],
        "operators": [_operator_record(operator) for operator in graph.operators],
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "repeats": dict(graph.repeats),
    }
    text = json.dumps(structure, indent=1, allow_nan=False)
    graph_path, values_path = folder / GRAPH_FILE, folder / VALUES_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(values_path, to_bytes(values, {"written_by": "inferstack"}))
        write_atomically(graph_path, text + "\n")
    except OSError as error:
        raise CheckpointError(str(folder), "cannot be written", got=error.strerror) from error
    return graph_path, values_path


def load(folder: Path) -> Graph:
    """The verified graph that `save` wrote. Raises CheckpointError naming the fault."""
    graph_path, values_path = folder / GRAPH_FILE, folder / VALUES_FILE
    record = _read_structure(graph_path)
    values = _read_values(values_path)
    tensors: dict[str, Tensor] = {}
    for item in record["tensors"]:
        tensor = _tensor(item, values, graph_path, values_path)
        if tensor.name in tensors:
            raise CheckpointError(str(graph_path), f"tensor {tensor.name} is declared twice")
        tensors[tensor.name] = tensor
    if values:
        raise CheckpointError(
            str(values_path), "holds tensors that the graph does not have", got=sorted(values)[:4]
        )
    graph = Graph(
        name=record["name"],
        tensors=tensors,
        operators=tuple(_operator(item) for item in record["operators"]),
        inputs=tuple(record["inputs"]),
        outputs=tuple(record["outputs"]),
        repeats=record["repeats"],
    )
    _check_names(graph, graph_path)
    try:
        verify(graph)
    except InputError as error:
        raise CheckpointError(str(graph_path), f"breaks a rule: {error}") from error
    return graph


def _stored(tensor: Tensor) -> Array:
    """The values as the tensor's own type, contiguous."""
    import numpy as np

    assert tensor.data is not None
    held = tensor.dtype.numpy()
    stored = np.ascontiguousarray(tensor.data.astype(held))
    assert (stored == tensor.data).all(), f"{tensor.name} does not fit {tensor.dtype.value}"
    return stored


def _tensor_record(tensor: Tensor) -> dict[str, Any]:
    """One tensor without its values."""
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype.value,
        "role": tensor.role.value,
        "scale": None if tensor.scale is None else tensor.scale.tolist(),
        "values": tensor.data is not None,
        **({} if tensor.row_scale is None else {"row_scale": tensor.row_scale.tolist()}),
    }


def _operator_record(operator: Operator) -> dict[str, Any]:
    """One operator; tuples become lists."""
    attributes = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in operator.attributes.items()
    }
    return {
        "name": operator.name,
        "kind": operator.kind,
        "inputs": dict(operator.inputs),
        "output": operator.output,
        "attributes": attributes,
        "part": operator.part,
    }


def _read_structure(path: Path) -> dict[str, Any]:
    """The checked record of graph.json."""
    from pydantic import ValidationError

    from inferstack.compress.artifact_schema import GraphRecord

    content = parse_json(str(path), read_bytes(path, LARGEST_GRAPH_BYTES))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(str(path), "is not a graph of ours", need=f'"format": "{FORMAT}"')
    if content.get("version") != VERSION:
        raise CheckpointError(
            str(path),
            "has another version",
            got=content.get("version"),
            need=VERSION,
            hint="its operators may compute other bits; make it again with inferstack optimize",
        )
    try:
        return GraphRecord.model_validate(content).model_dump()
    except ValidationError as error:
        fault = first_fault(GraphRecord, error)
        raise CheckpointError(
            f"{path}, {fault.place}", fault.what, got=fault.got, need=fault.need, hint=fault.hint
        ) from None


def _read_values(path: Path) -> dict[str, Array]:
    """The arrays of model.safetensors by name; copies, so that the file may be written again."""
    import numpy as np

    file = open_safetensors(path)
    return {name: np.array(file.stored(name)) for name in file.tensors}


def _tensor(
    item: dict[str, Any], values: dict[str, Array], graph_path: Path, values_path: Path
) -> Tensor:
    """One tensor with its values, which are taken out of `values`."""
    import numpy as np

    name, shape, dtype = item["name"], tuple(item["shape"]), DType(item["dtype"])
    if math.prod(shape) > ELEMENTS_MAX:
        raise CheckpointError(
            str(graph_path), f"tensor {name} is absurdly large", got=shape, need=ELEMENTS_MAX
        )
    data: Array | None = None
    if item["values"]:
        if name not in values:
            raise CheckpointError(str(values_path), f"tensor {name} is missing")
        data = values.pop(name)
        if tuple(data.shape) != shape or data.dtype != dtype.numpy():
            raise CheckpointError(
                str(values_path),
                f"tensor {name} has another shape or type than {GRAPH_FILE} says",
                got=(tuple(data.shape), str(data.dtype)),
                need=(shape, dtype.value),
            )
        if data.dtype.kind == "f" and not np.isfinite(data).all():
            raise CheckpointError(str(values_path), f"tensor {name} has values that are not finite")
    role = TensorRole(item["role"])
    if data is not None and role is TensorRole.CONSTANT and dtype is DType.INT32:
        data = data.astype(np.int64)
    scale = None if item["scale"] is None else np.array(item["scale"], dtype=np.float64)
    if scale is not None and scale.shape not in ((), shape[-1:]):
        raise CheckpointError(
            str(graph_path),
            f"tensor {name} has the wrong number of scales",
            got=scale.shape,
            need=f"one, or {shape[-1:]}",
        )
    rows = item["row_scale"]
    if rows is not None and (len(shape) != 2 or len(rows) != shape[0] or scale is None):
        raise CheckpointError(
            str(graph_path),
            f"tensor {name} has the wrong number of row scales",
            got=len(rows),
            need=f"{shape[:1]}, of a matrix with scales",
        )
    return Tensor(
        name=name, shape=shape, dtype=dtype, role=role, data=data, scale=scale,
        row_scale=None if rows is None else np.array(rows, dtype=np.float64),
    )  # fmt: skip


def _operator(item: dict[str, Any]) -> Operator:
    """One operator; lists become tuples."""
    attributes = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in item["attributes"].items()
    }
    return Operator(
        name=item["name"],
        kind=item["kind"],
        inputs=item["inputs"],
        output=item["output"],
        attributes=attributes,
        part=item["part"],
    )


def _check_names(graph: Graph, path: Path) -> None:
    """Names that `verify` takes for granted."""
    for operator in graph.operators:
        for name in (*operator.inputs.values(), operator.output):
            if name not in graph.tensors:
                raise CheckpointError(
                    str(path), f"operator {operator.name} names a tensor that is not there: {name}"
                )
    inputs = {n for n, tensor in graph.tensors.items() if tensor.role is TensorRole.INPUT}
    if set(graph.inputs) != inputs:
        raise CheckpointError(
            str(path), "inputs are not the tensors of role input", got=list(graph.inputs)
        )
