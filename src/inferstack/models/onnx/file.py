"""ONNX files, read without trust: sizes are checked before values are made, nothing is executed.

Source: onnx, docs/IR.md, and docs/ExternalData.md for tensors beside the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError, MissingExtraError
from inferstack.core.text import printable
from inferstack.models.config_file import folder_file

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

ENDING = ".onnx"
LARGEST_FILE_BYTES = 2**31
"""Of a protobuf."""
OLDEST_OPSET = 11
LARGEST_AXIS = 2**40
PLAIN_DOMAINS = ("", "ai.onnx")
BELOW_A_BYTE = {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}


Shapes = list[tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One node. kind: its operator, with the domain in front where that is not ONNX's own."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    proto: Any

    def input(self, number: int) -> str | None:
        """The name of an input; None where it is left out."""
        return (self.inputs[number] or None) if number < len(self.inputs) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or output. axes: sizes, or names of sizes, "" for one without a name; None for a
    value whose number of axes the file does not say. element: the number of its type."""

    name: str
    element: int
    axes: tuple[int | str, ...] | None


class StoredTensor:
    """A tensor of the file, whose values are read when they are asked for."""

    __slots__ = ("element", "path", "proto", "shape")

    def __init__(self, path: Path, proto: Any) -> None:
        self.path, self.proto = path, proto
        self.shape: tuple[int, ...] = tuple(proto.dims)
        self.element: int = proto.data_type
        self._check()

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.path}, tensor {printable(self.proto.name)}"

    @property
    def size_bytes(self) -> int:
        """That its shape asks for."""
        from onnx import TensorProto, helper

        elements, name = math.prod(self.shape), TensorProto.DataType.Name(self.element)
        if name in BELOW_A_BYTE:
            return -(-elements * BELOW_A_BYTE[name] // 8)
        return elements * int(helper.tensor_dtype_to_np_dtype(self.element).itemsize)

    def _check(self) -> None:
        from onnx import TensorProto

        types = TensorProto.DataType.values()
        if self.element not in types or self.element in (TensorProto.UNDEFINED, TensorProto.STRING):
            raise CheckpointError(self.where, "has a type that holds no numbers", got=self.element)
        if any(not 0 <= size <= LARGEST_AXIS for size in self.shape):
            raise CheckpointError(self.where, "has a wrong shape", got=self.shape)
        if self.is_external:
            self._external()
        elif self.proto.HasField("raw_data"):
            self._same_size(len(self.proto.raw_data))

    def _same_size(self, got: int) -> None:
        if got != self.size_bytes:
            raise CheckpointError(
                self.where, "has another size than its shape says", got=f"{got:,} bytes",
                need=f"{self.size_bytes:,} for {self.shape}",
                hint="the file is damaged; export it again",
            )  # fmt: skip

    @property
    def is_external(self) -> bool:
        """Whether its bytes stand in another file."""
        from onnx import TensorProto

        return bool(self.proto.data_location == TensorProto.EXTERNAL)

    def _external(self) -> tuple[Path, int]:
        """The file beside this one, and where in it the bytes begin. Raises CheckpointError."""
        entries = {entry.key: entry.value for entry in self.proto.external_data}
        location = entries.get("location", "")
        parts = PurePosixPath(location).parts
        if not parts or PurePosixPath(location).is_absolute() or ".." in parts:
            raise CheckpointError(
                self.where, "names a file outside of its folder", got=repr(printable(location)),
                need="a file beside the model",
            )  # fmt: skip
        beside = folder_file(self.path.parent, location)
        if beside is None:
            raise CheckpointError(
                self.where, "stands in a file that is not there", got=repr(printable(location)),
                hint="an ONNX model is copied together with its .data file",
            )  # fmt: skip
        numbers = {key: entries.get(key, "") for key in ("offset", "length")}
        for key, text in numbers.items():
            if text and not (text.isascii() and text.isdigit() and len(text) < 20):
                raise CheckpointError(self.where, f"has a wrong {key}", got=repr(printable(text)))
        offset = int(numbers["offset"] or 0)
        there = beside.stat().st_size
        length = int(numbers["length"] or there - offset)
        self._same_size(length)
        if offset + length > there:
            raise CheckpointError(
                self.where, "ends behind the end of its file", got=f"{there:,} bytes",
                need=f"{offset + length:,}", hint=f"{beside} is truncated; fetch it again",
            )  # fmt: skip
        return beside, offset

    def values(self) -> Array:
        """Its values, in its own type. Raises CheckpointError."""
        import numpy as np
        from onnx import TensorProto, numpy_helper

        proto = self.proto
        if self.is_external:
            beside, offset = self._external()
            with beside.open("rb") as file:
                file.seek(offset)
                raw = file.read(self.size_bytes)
            proto = TensorProto(data_type=self.element, dims=self.shape, raw_data=raw)
        try:
            found = np.asarray(numpy_helper.to_array(proto))
        except (ValueError, TypeError) as failure:
            raise CheckpointError(
                self.where, "has another number of values than its shape says",
                got=printable(str(failure), 120), need=self.shape,
            ) from None  # fmt: skip
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnnxFile:
    """nodes: in execution order. opset: of ONNX's own operators. opsets: by domain."""

    path: Path
    nodes: tuple[Node, ...]
    tensors: Mapping[str, StoredTensor]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    opsets: Mapping[str, int]
    ir_version: int

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        return self.opsets[""]


def is_onnx(path: Path) -> bool:
    """Whether a file is called as one of these."""
    try:
        return path.suffix.lower() == ENDING and path.is_file()
    except OSError:
        return False


def open_onnx(path: Path) -> OnnxFile:
    """Reads the graph; tensors in other files stay there. Raises CheckpointError, and
    MissingExtraError without the package `onnx`."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise MissingExtraError(str(path), "onnx", "onnx") from None
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise CheckpointError(
                str(path), "is too long for a protobuf", need=f"{LARGEST_FILE_BYTES:,} bytes",
                hint="larger models keep their tensors in a .data file beside them",
            )  # fmt: skip
        raw = path.read_bytes()
    except OSError as failure:
        raise CheckpointError(str(path), "cannot be read", got=failure.strerror) from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(raw)
    except (DecodeError, RuntimeError):
        raise _damaged(path, "is no ONNX file, or a damaged one") from None
    del raw
    if not model.HasField("graph") or not model.graph.node:
        raise _damaged(path, "has no graph")
    opsets = _opsets(path, model)
    if model.functions:
        model = _inlined(path, model)
    graph = model.graph
    if graph.sparse_initializer:
        raise CheckpointError(str(path), "has sparse tensors, which are not read")
    tensors: dict[str, StoredTensor] = {}
    for proto in graph.initializer:
        if not isinstance(proto.name, str):
            raise _damaged(path, "has a tensor whose name is no text")
        if proto.name in tensors:
            raise CheckpointError(f"{path}, tensor {printable(proto.name)}", "is there twice")
        tensors[proto.name] = StoredTensor(path, proto)
    return OnnxFile(
        path=path,
        nodes=tuple(nodes_of(path, graph.node)),
        tensors=tensors,
        # Old files list their tensors among the inputs.
        inputs=tuple(_port(path, i) for i in graph.input if i.name not in tensors),
        outputs=tuple(_port(path, o) for o in graph.output),
        opsets=opsets,
        ir_version=model.ir_version,
    )


def nodes_of(path: Path, protos: Any) -> Iterator[Node]:
    """Nodes as ours. Raises CheckpointError for an attribute that cannot be read."""
    from onnx import helper

    for number, proto in enumerate(protos):
        texts = (proto.name, proto.domain, proto.op_type, *proto.input, *proto.output)
        if not all(isinstance(text, str) for text in texts):
            raise CheckpointError(str(path), f"node {number:,} has a name that is no text")
        domain = "" if proto.domain in PLAIN_DOMAINS else proto.domain
        name = proto.name or f"{proto.op_type}_{number}"
        try:
            attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        except ValueError as failure:
            where = f"{path}, node {printable(name)}"
            raise CheckpointError(where, printable(str(failure), 120)) from None
        yield Node(
            name=name,
            kind=f"{domain}.{proto.op_type}" if domain else proto.op_type,
            inputs=tuple(proto.input),
            outputs=tuple(proto.output),
            attributes=attributes,
            proto=proto,
        )


def _opsets(path: Path, model: Any) -> dict[str, int]:
    from onnx import defs

    found = {"" if o.domain in PLAIN_DOMAINS else o.domain: o.version for o in model.opset_import}
    newest, version = defs.onnx_opset_version(), found.setdefault("", OLDEST_OPSET)
    if not OLDEST_OPSET <= version <= newest:
        raise CheckpointError(
            str(path), "is of an opset that is not read", got=version,
            need=f"{OLDEST_OPSET} to {newest}",
            hint="onnx.version_converter.convert_version changes it"
            if version < OLDEST_OPSET else "a newer package `onnx` may know it",
        )  # fmt: skip
    return found


def _inlined(path: Path, model: Any) -> Any:
    """Without functions of the file's own."""
    from onnx import inliner

    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as failure:
        got = printable(str(failure), 120)
        raise CheckpointError(str(path), "has functions that cannot be inlined", got=got) from None


def _port(path: Path, value: Any) -> Port:
    if not isinstance(value.name, str):
        raise _damaged(path, "has an input or output whose name is no text")
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        where = f"{path}, {printable(value.name)}"
        raise CheckpointError(where, "is no tensor", got=value.type.WhichOneof("value"))
    axes = None
    if tensor.HasField("shape"):
        axes = tuple(
            axis.dim_value if axis.HasField("dim_value") else axis.dim_param
            for axis in tensor.shape.dim
        )
    return Port(name=value.name, element=tensor.elem_type, axes=axes)


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(str(path), what, hint="fetch or export it again")
