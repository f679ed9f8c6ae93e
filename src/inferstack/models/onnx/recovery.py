"""From the outputs of a program back to its inputs: a graph of our operators.

What a node means is asked for when its result is; what a form has taken in is never asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.onnx.evaluate import CONTROL
from inferstack.models.onnx.file import Node
from inferstack.models.onnx.growing import GrowingGraph
from inferstack.models.onnx.handlers import handlers
from inferstack.models.onnx.known import PASSING
from inferstack.models.onnx.program import Kind, Program
from inferstack.models.onnx.regions import Regions
from inferstack.models.onnx.source import Stored, Unit, View

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

ANCHORS = ("MatMul", "Gemm", "Conv", "LayerNormalization")
"""What is asked for in the file's order, so that no question goes deeper than a layer."""


USUAL_ID = 7
WRONG = (KeyError, IndexError, TypeError, ValueError, OverflowError, ZeroDivisionError)
"""What a node raises that lacks an attribute, or has one of another type."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ids:
    """What picks rows of a table; with padding, by position: see our operator
    position_embedding."""

    tensor: Stored
    padding: int | None = None
    first: int = 0


class Recovery(GrowingGraph):
    """Makes operators of nodes.

    side: names of our inputs by the file's, for what is no view: ids, masks. first: the position of
    the first token. cached: whether caches are appended to, however short.
    """

    def __init__(
        self,
        name: str,
        program: Program,
        side: Mapping[str, str],
        *,
        first: int,
        cached: bool,
        valued: bool,
    ) -> None:
        super().__init__(name, program, valued=valued)
        self.side, self.first, self.cached = side, first, cached
        self.regions = Regions(program)
        self.found: dict[str, View | Unit] = {}
        self.notes: dict[str, None] = {}

    def view(self, name: str) -> View:
        """A value that runs. Raises CheckpointError for one that has no counterpart."""
        made = self.found.get(name) or self._recovered(name)
        if isinstance(made, Unit):
            node = self.node(name)
            raise self.error(node, "is used beside the matmul of integers that it belongs to")
        return made

    def value(self, name: str) -> View | Unit:
        """As `view`, or the unit of quantized values."""
        return self.found.get(name) or self._recovered(name)

    def _recovered(self, name: str) -> View | Unit:
        fact = self.program.facts[name]
        if fact.node is None:
            raise CheckpointError(
                f"{self.program.file.path}, {printable(name)}", "is used as no model uses it",
                need="ids that pick rows of a table, masks that hide tokens",
            )  # fmt: skip
        node = self.program.nodes[fact.node]
        if fact.kind is not Kind.RUNTIME:
            raise self.error(node, "is asked for as an activation, but follows from ids and masks")
        form = self.regions.recognised(name, self)
        if form is not None:
            made: View | Unit | tuple[View | Unit | None, ...] = form.write(self, node)
        else:
            handler = handlers().get(node.kind)
            if handler is None:
                if node.kind in CONTROL:
                    raise self.error(node, "is control flow, which is not read")
                raise self.unknown(node)
            try:
                made = handler(self, node)
            except WRONG as failure:
                got = printable(f"{type(failure).__name__}: {failure}", 120)
                raise self.error(node, "has inputs or attributes of no sense", got=got) from None
        if not isinstance(made, tuple):
            self.found[name] = made
            return made
        for output, one in zip(node.outputs, made, strict=False):
            if output and one is not None:
                self.found[output] = one
        if name not in self.found:
            raise self.error(node, f"has an output that is not made here: {printable(name)}")
        return self.found[name]

    def unknown(self, node: Node) -> CheckpointError:
        """The error about a node without a counterpart."""
        return CheckpointError(
            self.program.where(node), "has no counterpart among our operators",
            got=f"{node.kind} of {[self.program.facts[i].shape for i in node.inputs if i]}",
            need="a part of an attention, a norm, an activation or a convolution",
            hint=f"operators that are read: {', '.join(sorted(handlers()))}",
        )  # fmt: skip

    def fed(self, reads: frozenset[str], given: Mapping[str, Array]) -> dict[str, Array]:
        """Arrays for inputs that something follows from: the given ones, else masks that hide
        nothing, and ids that are no usual padding."""
        import numpy as np
        from onnx import helper

        found = {}
        for name in reads:
            fact = self.program.facts[name]
            assert fact.shape is not None, "of an input"
            values = given.get(name)
            if values is None:
                masks = "mask" in self.side.get(name, "")
                values = np.full(fact.shape, 1 if masks else USUAL_ID)
            found[name] = values.astype(helper.tensor_dtype_to_np_dtype(fact.element))
        return found

    def ids(self, index: str, node: Node) -> Ids:
        """What picks rows of a table. Raises CheckpointError for what is no input, and no
        position that follows from one."""
        name: str | None = index
        while name is not None and (made := self.program.facts[name].node) is not None:
            via = self.program.nodes[made]
            name = via.inputs[0] if via.kind in PASSING else None
        if name is not None and self.side.get(name) in self.builder.tensors:
            return Ids(tensor=self._input(self.side[name]))
        found = self._counted(index)
        if found is None:
            raise self.error(
                node, "looks up rows by numbers that are no ids and no positions",
                got=f"what follows from {', '.join(sorted(self.program.facts[index].reads))}",
            )  # fmt: skip
        return found

    def _input(self, name: str) -> Stored:
        return Stored(name=name, shape=self.builder.tensors[name].shape)

    def _counted(self, index: str) -> Ids | None:
        """Positions: those behind padding (RoBERTa), or of all tokens where a mask hides some."""
        import numpy as np

        from inferstack.ops.position_embedding import RULE

        fact = self.program.facts[index]
        if len(fact.reads) != 1 or fact.shape is None:
            return None
        (source,) = fact.reads
        shape = self.program.facts[source].shape
        assert shape is not None, "of an input"
        table = np.arange(USUAL_ID + shape[-1] + self.first + 8, dtype=np.float64)[:, None]
        ids = np.random.default_rng(0).integers(0, 6, shape)
        if self.side.get(source) == "ids":
            made = self.program.evaluate(index, self.fed(fact.reads, {source: ids}))
            for padding in range(6):
                says = {"padding_id": padding, "first": self.first}
                rows = RULE.reference({"table": table, "ids": ids}, says)[..., 0]
                if rows.size == made.size and (rows.reshape(-1) == made.reshape(-1)).all():
                    return Ids(tensor=self._input("ids"), padding=padding, first=self.first)
            return None
        rows = self.program.evaluate(index, self.fed(fact.reads, {})).reshape(shape[0], -1)
        first = int(rows.flat[0])
        if (rows != first + np.arange(rows.shape[1])).any():
            return None
        self.notes[
            "positions are those of sequences without padding in front, as the mask of ones gives"
        ] = None
        return Ids(
            tensor=self._input(self.places((shape[0], rows.shape[1]))), padding=-1, first=first
        )

    def is_cache(self, name: str) -> bool:
        """Whether a value is a cache that must be appended to, however short."""
        made = self.found.get(name) if self.cached else None
        return (
            isinstance(made, View)
            and isinstance(made.source, Stored)
            and (self.is_cache_tensor(made.source.name))
        )

    def name_of_cache(self, name: str) -> str:
        """Our name of a cache of the file."""
        made = self.found[name]
        assert isinstance(made, View), "a cache"
        assert isinstance(made.source, Stored), "a cache"
        return made.source.name
