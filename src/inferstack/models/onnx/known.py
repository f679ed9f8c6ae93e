"""What is known of a file's values before any token is: constants, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.models.onnx.file import Node
from inferstack.models.onnx.program import Fact, Kind, Program
from inferstack.models.onnx.source import Constant

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

PASSING = ("Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten")
"""Kinds that pass their first input's elements on as they are."""


def _dequantized(values: Array, zero: float, scale: float) -> Array:
    import numpy as np

    real: Array = (values.astype(np.float32) - np.float32(zero)) * np.float32(scale)
    return real


class KnownValues:
    """Of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.constants: dict[str, Constant] = {}

    def node(self, name: str) -> Node:
        """What makes a value."""
        made = self.program.facts[name].node
        assert made is not None, f"{name} is an input"
        return self.program.nodes[made]

    def kind(self, name: str) -> Kind:
        """When a value is known."""
        return self.program.facts[name].kind

    def is_known(self, name: str | None) -> bool:
        """Whether a value is there and known."""
        return name is not None and self.kind(name) is Kind.KNOWN

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a value."""
        fact = self.program.facts[name]
        if fact.shape is None:
            return self.program.shape(name, self.node(name))
        return fact.shape

    def error(self, node: Node, what: str, **details: Any) -> CheckpointError:
        """One about a node."""
        return CheckpointError(self.program.where(node), what, **details)

    def constant(self, name: str) -> Constant:
        """A known value; transposes of one tensor know each other."""
        if name not in self.constants:
            self.constants[name] = self._constant(name)
        return self.constants[name]

    def _constant(self, name: str) -> Constant:
        fact = self.program.facts[name]
        assert fact.shape is not None, f"{name} is known, so is its shape"
        if fact.node is not None:
            node = self.program.nodes[fact.node]
            if node.kind in ("Identity", "Cast") and self.is_known(node.inputs[0]):
                return self.constant(node.inputs[0])
            turns = tuple(node.attributes.get("perm", (1, 0))) == (1, 0)
            if node.kind == "Transpose" and len(fact.shape) == 2 and turns:
                return self.constant(node.inputs[0]).transposed()
        return Constant(
            name=name, origin=self._origin(name), shape=fact.shape,
            values=lambda: self.program.value(name),
        )  # fmt: skip

    def _origin(self, name: str) -> str:
        """The tensor of the file that a value is mostly made of; its own name without one."""
        seen, waiting, best = {name}, [name], ""
        while waiting:
            one = waiting.pop()
            fact = self.program.facts[one]
            if one in self.program.tensors:
                size = self.program.tensors[one].size_bytes
                if not best or size > self.program.tensors[best].size_bytes:
                    best = one
            elif fact.node is not None:
                inputs = self.program.nodes[fact.node].inputs
                waiting += [i for i in inputs if i and i not in seen]
                seen.update(inputs)
        return best or name

    def scalar(self, name: str | None) -> float | None:
        """The only number of a known value; None for anything else."""
        if name is None or not self.is_known(name):
            return None
        shape = self.program.facts[name].shape
        if shape is None or any(size != 1 for size in shape):
            return None
        return float(self.constant(name).values().reshape(()))

    def derived(self, name: str, what: str, change: Callable[[Array], Array]) -> str:
        """The name of a known value that `change` makes of another, of the same shape."""
        made = f"{name}:{what}"
        constant = self.constant(name)
        self.constants[made] = constant.made(what, constant.shape, change)
        self.program.facts[made] = replace(self.program.facts[name], name=made, node=None)
        return made

    def flat(self, name: str) -> str:
        """A known vector, whose axes of size 1 are left out."""
        constant = self.constant(name)
        if len(constant.shape) == 1:
            return name
        made = f"{name}:flat"
        self.constants[made] = constant.reshaped(constant.shape[-1:])
        fact = self.program.facts[name]
        self.program.facts[made] = replace(fact, name=made, node=None, shape=constant.shape[-1:])
        return made

    def part(self, name: str, chosen: Array, what: str) -> str:
        """A known vector's entries at some places."""
        made = f"{name}:{what}"
        self.constants[made] = self.constant(name).columns(chosen, what)
        fact = self.program.facts[name]
        self.program.facts[made] = replace(fact, name=made, node=None, shape=(len(chosen),))
        return made

    def given(self, name: str, values: Array) -> str:
        """A known value that is not of the file."""
        self.program.known[name] = values
        self.program.facts[name] = Fact(name=name, kind=Kind.KNOWN, shape=values.shape, element=1)
        return name

    def ones(self, width: int) -> str:
        """A known vector of ones."""
        import numpy as np

        return self.given(f"ones.{width}", np.ones(width, dtype=np.float32))

    def position_rows(self, name: str) -> tuple[str, int] | None:
        """The table of which a known value is rows one after the other, and the first of them."""
        import numpy as np

        while (made := self.program.facts[name].node) is not None:
            node = self.program.nodes[made]
            table = node.inputs[0] if node.inputs else ""
            shape = self.program.facts[table].shape if table else None
            if node.kind == "Gather" and shape is not None and len(shape) == 2:
                chosen = self.program.value(node.inputs[1])
                rows = chosen.reshape(-1, chosen.shape[-1]) if chosen.ndim else chosen.reshape(1, 1)
                first = int(rows.flat[0])
                follows = (rows == first + np.arange(rows.shape[1])).all()
                looked_up = int(node.attributes.get("axis", 0)) == 0 and first >= 0
                return (table, first) if follows and looked_up and shape[1] > 1 else None
            if node.kind == "DequantizeLinear":
                return self._dequantized_rows(node)
            if node.kind == "Slice" and shape is not None and len(shape) == 2:
                return self._sliced(node, table, shape)
            if node.kind not in PASSING and node.kind != "Expand":
                return None
            name = table
        return None

    def _dequantized_rows(self, node: Node) -> tuple[str, int] | None:
        """Those of a table of integers with one scale, as the table of what they stand for."""
        found, scale = self.position_rows(node.inputs[0]), self.scalar(node.input(1))
        if found is None or scale is None:
            return None
        table, first = found
        zero = self.scalar(node.input(2)) or 0.0
        change = partial(_dequantized, zero=zero, scale=scale)
        return self.derived(table, f"{scale}({zero})", change), first

    def _sliced(self, node: Node, table: str, shape: tuple[int, ...]) -> tuple[str, int] | None:
        axes = self.program.value(node.inputs[3]).tolist() if node.input(3) else [0]
        steps = self.program.value(node.inputs[4]).tolist() if node.input(4) else [1]
        first = self.program.value(node.inputs[1]).tolist()
        return (table, first[0]) if axes == [0] and steps == [1] and first[0] >= 0 else None

    def tables(self, names: Iterable[str], heads: int) -> Iterator[str]:
        """Tables (n, heads) from which rows are picked on the way to values."""
        for node in self._before(names):
            if node.kind == "Gather" and self.is_known(node.inputs[0]):
                shape = self.program.facts[node.inputs[0]].shape
                if shape is not None and len(shape) == 2 and shape[1] == heads:
                    yield node.inputs[0]

    def behind(self, names: Iterable[str]) -> Iterator[Array]:
        """Known values of at most two axes that others follow from."""
        asked = list(names)
        for name in [*asked, *(i for node in self._before(asked) for i in node.inputs if i)]:
            if self.is_known(name):
                yield self.program.value(name)

    def _before(self, names: Iterable[str]) -> Iterator[Node]:
        seen, waiting = set(), list(names)
        while waiting:
            made = self.program.facts[waiting.pop()].node
            if made is not None and made not in seen:
                seen.add(made)
                yield self.program.nodes[made]
                waiting += [i for i in self.program.nodes[made].inputs if i]
