"""The graph of a file as it grows: views become tensors, constants weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferstack.core.dtypes import DType
from inferstack.core.errors import CheckpointError, InputError
from inferstack.core.text import printable
from inferstack.ir.graph import Attribute, TensorRole
from inferstack.models.onnx.file import Node
from inferstack.models.onnx.known import KnownValues
from inferstack.models.onnx.program import Program
from inferstack.models.onnx.source import Constant, Linear, Lookup, Scores, Source, Stored, View
from inferstack.models.onnx.view import Atom, Axes, merged, plain, same, to_tensor
from inferstack.ops.builder import GraphBuilder

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

LONGEST_NAME = 80


class GrowingGraph(KnownValues):
    """valued: whether the values of weights are read. kinds: of the operators, by their names."""

    def __init__(self, name: str, program: Program, *, valued: bool) -> None:
        super().__init__(program)
        self.valued = valued
        self.builder = GraphBuilder(name)
        self.written: dict[tuple[object, ...], Stored] = {}
        self.declared: dict[str, str] = {}
        self.kinds: dict[str, str] = {}

    def declare(self, constant: Constant, role: TensorRole = TensorRole.WEIGHT) -> str:
        """The tensor of a constant in the graph."""
        if constant.name in self.declared:
            return self.declared[constant.name]
        data = None
        if self.valued:
            data = self.floats(constant)
        name = self.name(constant.origin)
        self.builder.tensor(name, constant.shape, DType.FLOAT32, role, data)
        self.declared[constant.name] = name
        return name

    def floats(self, constant: Constant) -> Array:
        """Its values. Raises CheckpointError for what is not finite."""
        import numpy as np

        values = np.ascontiguousarray(constant.values().astype(np.float32))
        if not np.isfinite(values).all():
            raise CheckpointError(
                f"{self.program.file.path}, tensor {printable(constant.origin)}",
                "has values that are not finite",
                got=f"{np.count_nonzero(~np.isfinite(values)):,} of {values.size:,}",
                hint="the file is damaged; take another one",
            )
        return values.reshape(constant.shape)

    def name(self, wanted: str) -> str:
        """A free name for a tensor, fit for that of a file."""
        base = re.sub(r"[^A-Za-z0-9_.]+", ".", wanted.replace("::", ".")).strip("._")
        base = base[-LONGEST_NAME:].strip("._") or "node"
        taken, name, number = self.builder.tensors, base, 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        return name

    def write(
        self,
        kind: str,
        node: Node | str,
        inputs: Mapping[str, str],
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Stored:
        """An operator; the same one twice is written once. Raises CheckpointError where its rule
        does not apply."""
        says = dict(attributes or {})
        key = (kind, *sorted(inputs.items()), *sorted(says.items()))
        if key in self.written:
            return self.written[key]
        wanted = node if isinstance(node, str) else node.name
        try:
            name = self.builder.add(kind, self.name(wanted), inputs, says)
        except InputError as failure:
            where = f"{self.program.file.path}, node {printable(wanted)!r}"
            raise CheckpointError(
                where, f"does not fit our operator {kind}: {failure.what}", got=failure.got,
                need=failure.need,
            ) from None  # fmt: skip
        self.kinds[name] = kind
        self.written[key] = Stored(name=name, shape=self.builder.tensors[name].shape)
        return self.written[key]

    def stored(self, view: View, node: Node | None = None) -> tuple[Stored, Axes]:
        """The tensor of a view, written if it is not there yet, factor included."""
        if view.per is not None:
            where = str(self.program.file.path)
            raise CheckpointError(
                where if node is None else self.program.where(node),
                "is a product of integers that is never multiplied by its unit",
            )
        view = self.ordered(view)
        source, factor = view.source, view.factor
        if isinstance(source, Scores):
            made = self._scores(source, factor)
            factor = 1.0
        else:
            made = self._written(source)
        if factor != 1.0:
            made = self.write("scale", f"{made.name}.scale", {"x": made.name}, {"factor": factor})
        return made, view.axes

    def _written(self, source: Source) -> Stored:
        if isinstance(source, Stored):
            return source
        if isinstance(source, Linear):
            return self._matmul(source)
        assert isinstance(source, Lookup), source
        if source.integers:
            where = f"{self.program.file.path}, node {printable(source.node)!r}"
            raise CheckpointError(where, "looks up integers that nothing dequantizes")
        inputs = {"table": self.declare(source.table), "ids": source.ids.name}
        return self.write("embedding", source.node, inputs)

    def _matmul(self, source: Linear) -> Stored:
        inputs, attributes = {"a": source.x.name}, {}
        turned = source.weight.turned
        if turned is not None and turned.name in self.declared:
            inputs["b"] = self.declare(turned)
            attributes["transpose_b"] = True
        else:
            inputs["b"] = self.declare(source.weight)
        if source.bias is not None:
            inputs["bias"] = self.declare(source.bias)
        return self.write("matmul", source.node, inputs, attributes)

    def _scores(self, source: Scores, factor: float) -> Stored:
        return self.write(
            "attention_scores",
            source.node,
            {"query": source.query.name, "key": source.key.name},
            {"heads": source.heads, "kv_heads": source.kv_heads, "scale": factor},
        )

    def ordered(self, view: View) -> View:
        """A matmul's columns in the order in which the value has them."""
        import numpy as np

        source = view.source
        if not isinstance(source, Linear):
            return view
        last = len(source.shape) - 1
        atoms = [a for axis in view.axes for a in merged(axis) if a.axis == last]
        steps, places = 1, {}
        for atom in reversed(atoms):
            places[atom] = Atom(last, atom.size, steps)
            steps *= atom.size
        if all(atom == place for atom, place in places.items()) or steps != source.shape[last]:
            return view
        chosen = np.zeros(1, dtype=np.int64)
        for atom in atoms:
            chosen = (chosen[:, None] + np.arange(atom.size) * atom.stride).reshape(-1)
        what = "".join(f"[{atom.size}x{atom.stride}]" for atom in atoms)
        axes = tuple(tuple(places.get(a, a) for a in merged(axis)) for axis in view.axes)
        return View(
            source=source.columns(chosen, what), axes=axes, factor=view.factor, per=view.per
        )

    def rows(self, view: View, node: Node) -> tuple[Stored, Axes, int]:
        """The tensor of a view whose last axis is the tensor's last, or an equal part of it, and
        how long that is."""
        made, axes = self.stored(view, node)
        last = len(made.shape) - 1
        atoms, width = merged(axes[-1]), made.shape[last]
        if not atoms and width == 1:
            return made, axes, 1
        if len(atoms) == 1 and atoms[0].axis == last and atoms[0].stride == 1:
            return made, axes, atoms[0].size
        made = self.plain(view, node)
        return made, plain(made.shape), made.shape[-1]

    def plain(self, view: View, node: Node) -> Stored:
        """A tensor that lies as the value itself. Raises CheckpointError where none can be made."""
        made, axes = self.stored(view, node)
        shape = made.shape
        if view.shape == shape and same(axes, plain(shape)):
            return made
        if len(shape) == 4:
            b, c, p, q = plain(shape)
            if same(axes, (b, (*p, *q), c)):
                return self.write("to_tokens", f"{node.name}.tokens", {"x": made.name})
        raise self.error(
            node, "has its values in an order that none of our operators makes",
            got=f"{view.shape} of a tensor {shape}",
        )  # fmt: skip

    def known_for(self, name: str, axes: Axes, made: Stored, node: Node) -> Constant:
        """A known value that broadcasts to a view, as it broadcasts to its tensor."""
        import numpy as np

        constant = self.constant(name)
        where = to_tensor(axes, made.shape, np.zeros(constant.shape, dtype=np.bool_))
        if where is None:
            raise self.error(node, "repeats a constant along a part of an axis", got=constant.shape)
        shape = where.shape
        while shape and shape[0] == 1 and len(shape) > 1:
            shape = shape[1:]
        if constant.shape == shape:
            return constant

        def laid(values: Array) -> Array:
            found = to_tensor(axes, made.shape, values)
            assert found is not None, "it was possible before"
            return found.reshape(shape)

        return constant.made(f"to{made.shape}{axes}", shape, laid)

    def pointwise(
        self, kind: str, view: View, node: Node, attributes: Mapping[str, Attribute] | None = None
    ) -> View:
        """A function of each element, wherever it lies."""
        made, axes = self.stored(view, node)
        return View(source=self.write(kind, node, {"x": made.name}, attributes), axes=axes)

    def places(self, shape: tuple[int, ...]) -> str:
        """Something of shape (batch, tokens) whose positions are asked for."""
        import numpy as np

        if "ids" in self.builder.tensors and self.builder.tensors["ids"].shape == shape:
            return "ids"
        one = (1, shape[1])
        return self._filler("places", one, np.zeros(one, dtype=np.int64))

    def every_token(self, shape: tuple[int, ...]) -> str:
        """A mask that hides nothing."""
        import numpy as np

        return self._filler("every.token", shape, np.ones(shape, dtype=np.int64))

    def _filler(self, name: str, shape: tuple[int, ...], values: Array) -> str:
        found = self.builder.tensors.get(name)
        if found is not None and found.shape == shape:
            return name
        name = self.name(name)
        return self.builder.tensor(name, shape, DType.INT64, TensorRole.CONSTANT, values)

    def is_cache_tensor(self, name: str) -> bool:
        """Whether a tensor is a cache."""
        return self.builder.tensors[name].role is TensorRole.CACHE
