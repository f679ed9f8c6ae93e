"""A file bound to sizes: shapes of all values, and which of them are known before any token is.

What follows from sizes and tensors alone is `KNOWN`; it is computed when it is asked for. What
follows from ids and masks alone is `SIDE`: masks, positions. All else runs: `RUNTIME`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.onnx.evaluate import CannotEvaluateError, run_node
from inferstack.models.onnx.file import Node, OnnxFile, StoredTensor, nodes_of
from inferstack.models.onnx.handlers import shape_rules

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

SMALL = 4096
"""Elements of a value that shapes may follow from."""
LEAST_LARGEST = 2**26
"""Elements that a computed constant may have in any case."""
FLOAT32, BOOL, INT64 = 1, 9, 7
INTEGERS = frozenset({2, 3, 4, 5, 6, 7, 9, 12, 13})


SIZES = ("Shape", "Size")
"""They follow from the sizes, whatever is fed."""


class Kind(Enum):
    """See the module."""

    KNOWN = 0
    SIDE = 1
    RUNTIME = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fact:
    """A value. shape: None where it depends on what is fed. node: that makes it, by number. reads:
    the inputs that a SIDE value depends on."""

    name: str
    kind: Kind
    shape: tuple[int, ...] | None
    element: int
    node: int | None = None
    reads: frozenset[str] = frozenset()


class Program:
    """See the module."""

    def __init__(
        self,
        file: OnnxFile,
        shapes: Mapping[str, tuple[int, ...]],
        side: frozenset[str],
        given: Mapping[str, Array],
        samples: Sequence[Mapping[str, Array]] = (),
    ) -> None:
        """shapes, side: of the graph's inputs. given: inputs whose values are known. samples:
        values of the side inputs; what is the same for all of them is known.

        Raises CheckpointError for a node whose shapes disagree.
        """
        self.file = file
        self.nodes: list[Node] = []
        self.facts: dict[str, Fact] = {}
        self.known: dict[str, Array] = dict(given)
        self.samples = samples
        self.tensors: dict[str, StoredTensor] = dict(file.tensors)
        stored = sum(math.prod(t.shape) for t in file.tensors.values())
        self.largest = max(LEAST_LARGEST, 4 * stored)
        for name, tensor in file.tensors.items():
            self._tell(name, Kind.KNOWN, tensor.shape, tensor.element)
        for port in file.inputs:
            kind = Kind.SIDE if port.name in side else Kind.RUNTIME
            if port.name in given:
                kind = Kind.KNOWN
            reads = frozenset({port.name}) if kind is Kind.SIDE else frozenset[str]()
            self.facts[port.name] = Fact(
                name=port.name, kind=kind, shape=shapes[port.name], element=port.element,
                reads=reads,
            )  # fmt: skip
        self._take(file.nodes)

    def fact(self, name: str, node: Node | None = None) -> Fact:
        """What is known of a value. Raises CheckpointError for one that nothing makes."""
        if name not in self.facts:
            where = self.where(node) if node is not None else str(self.file.path)
            raise CheckpointError(where, f"reads {printable(name)!r}, which nothing makes")
        return self.facts[name]

    def shape(self, name: str, node: Node) -> tuple[int, ...]:
        """The shape of a value. Raises CheckpointError where it depends on what is fed."""
        found = self.fact(name, node).shape
        if found is None:
            raise CheckpointError(
                self.where(node), f"has a dynamic shape ({printable(name)!r})",
                need="shapes that follow from batch and tokens",
                hint="export the model without operators whose result's size depends on values",
            )  # fmt: skip
        return found

    def where(self, node: Node) -> str:
        """For messages."""
        return f"{self.file.path}, node {printable(node.name)!r} ({printable(node.kind)})"

    def value(self, name: str) -> Array:
        """A KNOWN value. Raises CheckpointError where it cannot be computed."""
        if name not in self.known:
            assert self.facts[name].kind is Kind.KNOWN, name
            self.evaluate(name, {})
        return self.known[name]

    def evaluate(self, name: str, fed: dict[str, Array]) -> Array:
        """A value by the reference; `fed` has what is fed, and gets what is computed on the way.

        Raises CheckpointError.
        """
        needed: set[int] = set()
        waiting = [name]
        while waiting:
            one = waiting.pop()
            if one in fed or one in self.known:
                continue
            fact = self.facts[one]
            if fact.node is None:
                assert one in self.tensors, f"{one} is fed by nobody"
                self.known[one] = self.tensors[one].values()
            elif fact.node not in needed:
                needed.add(fact.node)
                if self.nodes[fact.node].kind not in SIZES:
                    waiting += [i for i in self.nodes[fact.node].inputs if i]
        for number in sorted(needed):
            node = self.nodes[number]
            results = self._run(node, fed)
            own = self.facts[node.outputs[0]].kind is Kind.KNOWN and not any(
                i in fed for i in node.inputs
            )
            (self.known if own else fed).update(results)
        return fed[name] if name in fed else self.known[name]

    def _run(self, node: Node, fed: Mapping[str, Array]) -> dict[str, Array]:
        for name in node.outputs:
            shape = self.facts[name].shape if name else None
            if shape is not None and math.prod(shape) > self.largest:
                raise CheckpointError(
                    self.where(node), "makes a constant that is too large",
                    got=f"{math.prod(shape):,} elements", need=f"at most {self.largest:,}",
                )  # fmt: skip
        if node.kind in SIZES:
            return {node.outputs[0]: self._shape_of(node)}
        inputs = [None if not i else fed[i] if i in fed else self.known[i] for i in node.inputs]
        try:
            results = run_node(node, inputs, self.file.opset)
        except CannotEvaluateError as failure:
            raise CheckpointError(
                self.where(node), "cannot be computed", got=printable(str(failure), 200)
            ) from None
        return {n: r for n, r in zip(node.outputs, results, strict=False) if n}

    def _shape_of(self, node: Node) -> Array:
        import numpy as np

        shape = self.shape(node.inputs[0], node)
        if node.kind == "Size":
            return np.array(math.prod(shape), dtype=np.int64)
        first, last = node.attributes.get("start", 0), node.attributes.get("end", len(shape))
        return np.array(shape[first:last], dtype=np.int64)

    def _tell(
        self, name: str, kind: Kind, shape: tuple[int, ...] | None, element: int,
        node: int | None = None, reads: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self.facts[name] = Fact(
            name=name, kind=kind, shape=shape, element=element, node=node, reads=reads
        )

    def _take(self, nodes: Sequence[Node]) -> None:
        """Facts of the nodes, one after the other."""
        for node in nodes:
            if node.kind == "If":
                self._branch(node)
                continue
            self.nodes.append(node)
            kind, reads = self._kind(node)
            shapes = self._infer(node, kind)
            for name, (shape, element) in zip(node.outputs, shapes, strict=True):
                if not name:
                    continue
                if name in self.facts:
                    raise CheckpointError(
                        self.where(node), f"makes {printable(name)!r} a second time"
                    )
                self._tell(name, kind, shape, element, len(self.nodes) - 1, reads)
            if kind is Kind.KNOWN:
                self._learn(node)

    def _branch(self, node: Node) -> None:
        """The branch of an If that is taken, in its place."""
        from onnx import helper

        condition = self.fact(node.inputs[0], node)
        if condition.kind is not Kind.KNOWN:
            raise CheckpointError(
                self.where(node), "branches on what is fed", need="a condition that sizes decide"
            )
        taken = node.attributes["then_branch" if self.value(condition.name) else "else_branch"]
        for proto in taken.initializer:
            tensor = StoredTensor(self.file.path, proto)
            self.tensors[proto.name] = tensor
            self._tell(proto.name, Kind.KNOWN, tensor.shape, tensor.element)
        self._take(tuple(nodes_of(self.file.path, taken.node)))
        joins = [
            helper.make_node("Identity", [inner.name], [outer])
            for inner, outer in zip(taken.output, node.outputs, strict=True)
        ]
        self._take(tuple(nodes_of(self.file.path, joins)))

    def _kind(self, node: Node) -> tuple[Kind, frozenset[str]]:
        facts = [self.fact(name, node) for name in node.inputs if name]
        if node.kind in SIZES:
            known = facts[0].shape is not None
            return (Kind.KNOWN, frozenset()) if known else (Kind.SIDE, facts[0].reads)
        reads = frozenset[str]().union(*(f.reads for f in facts))
        most = max((f.kind.value for f in facts), default=0)
        if most == Kind.SIDE.value and _looks_up(node, facts):
            if node.kind == "Gather" and self._is_constant(node.inputs[1]):
                return Kind.KNOWN, frozenset()
            return Kind.RUNTIME, frozenset()
        return Kind(most), reads if most == Kind.SIDE.value else frozenset()

    def _is_constant(self, name: str) -> bool:
        """Whether a value only seems to follow from ids or masks: it is known from now on."""
        found = []
        for sample in self.samples:
            try:
                found.append(self.evaluate(name, dict(sample)))
            except CheckpointError:
                return False
        if not found or any(not (one == found[0]).all() for one in found):
            return False
        self.known[name] = found[0]
        fact = self.facts[name]
        self.facts[name] = replace(fact, kind=Kind.KNOWN, node=None, reads=frozenset())
        return True

    def _infer(self, node: Node, kind: Kind) -> list[tuple[tuple[int, ...] | None, int]]:
        """Shape and type of each output."""
        own = shape_rules().get(node.kind)
        if own is not None:
            shapes = [self.shape(n, node) if n else () for n in node.inputs]
            first = self.facts[next(n for n in node.inputs if n)].element
            try:
                made = own(node, shapes)
            except (IndexError, KeyError) as failure:
                raise CheckpointError(
                    self.where(node), "lacks an input or an attribute", got=str(failure)
                ) from None
            element = FLOAT32 if first in INTEGERS else first
            return [(s, element) for s in made[: len(node.outputs)]] + [
                (None, element) for _ in node.outputs[len(made) :]
            ]
        return self._inferred(node, kind)

    def _inferred(self, node: Node, kind: Kind) -> list[tuple[tuple[int, ...] | None, int]]:
        from onnx import checker, defs, helper, numpy_helper, shape_inference

        domain, _, name = node.kind.rpartition(".")
        try:
            schema = defs.get_schema(name, self.file.opsets.get(domain, 1), domain)
        except defs.SchemaError:
            raise self.unknown(node) from None
        types, data = {}, {}
        for one in (n for n in node.inputs if n):
            fact = self.fact(one, node)
            types[one] = helper.make_tensor_type_proto(fact.element, fact.shape)
            small = fact.shape is not None and math.prod(fact.shape) <= SMALL
            if fact.kind is Kind.KNOWN and small and fact.element in INTEGERS:
                data[one] = numpy_helper.from_array(self.value(one))
            elif fact.kind is Kind.KNOWN and one in self.known and small:
                data[one] = numpy_helper.from_array(self.known[one])
        special = (shape_inference.InferenceError, checker.ValidationError)
        opsets = [helper.make_opsetid(d, v) for d, v in self.file.opsets.items()]
        try:
            found = shape_inference.infer_node_outputs(
                schema, node.proto, types, data, opset_imports=opsets,
                ir_version=self.file.ir_version,
            )  # fmt: skip
        except (ValueError, TypeError, RuntimeError, *special) as failure:
            text = str(failure).splitlines()[0] if str(failure) else type(failure).__name__
            raise CheckpointError(
                self.where(node), "does not fit its inputs", got=printable(text, 200)
            ) from None
        result: list[tuple[tuple[int, ...] | None, int]] = []
        for one in node.outputs:
            inferred = found.get(one)
            if inferred is None or not inferred.HasField("tensor_type"):
                result.append((None, INT64))
                continue
            axes = inferred.tensor_type
            sizes = [a.dim_value for a in axes.shape.dim if a.HasField("dim_value")]
            whole = axes.HasField("shape") and len(sizes) == len(axes.shape.dim)
            result.append((tuple(sizes) if whole else None, axes.elem_type))
        return result

    def _learn(self, node: Node) -> None:
        """Computes what shapes may follow from, and what has an unknown shape."""
        facts = [self.facts[n] for n in node.outputs if n]
        if all(f.shape is not None and math.prod(f.shape) > SMALL for f in facts):
            return
        follows = any(f.shape is None or f.element in INTEGERS for f in facts)
        if not follows and node.kind != "Constant":
            return
        for fact in facts:
            value = self.value(fact.name)
            self.facts[fact.name] = replace(fact, shape=tuple(value.shape))

    def unknown(self, node: Node) -> CheckpointError:
        """The error about an operator that nothing here knows."""
        return CheckpointError(
            self.where(node), "is an operator that is not known",
            need="operators of ONNX that inference of Transformers and CNNs uses, or ONNX "
            "Runtime's fused ones",
            hint="export the model without custom operators",
        )  # fmt: skip


def _looks_up(node: Node, facts: list[Fact]) -> bool:
    """Whether a node picks rows of a table of floating-point numbers."""
    if node.kind in ("com.microsoft.EmbedLayerNormalization", "com.microsoft.GatherBlockQuantized"):
        return True
    if node.kind != "Gather" or facts[0].kind is not Kind.KNOWN:
        return False
    shape = facts[0].shape
    floating = facts[0].element not in INTEGERS or facts[0].element in (2, 3)
    return floating and shape is not None and len(shape) == 2
