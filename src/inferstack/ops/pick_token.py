"""One token of each sequence: x (batch, tokens, d) -> (batch, d).

at: its number; -1 is the last. With ids (batch, tokens): the first one that has the id `id`, or,
where there is no such attribute, the largest id of its sentence; a sentence without that id gives
its first token. No integer form.
Source: transformers, models/clip, for the largest id: of CLIP's words, the last one ends a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Tensor, Work
from inferstack.ops.rule import OUTPUT, Access, Affine, IterationSpace, Rule, simple

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class PickTokenRule(Rule):
    """See the module."""

    kind: ClassVar[str] = "pick_token"
    work: ClassVar[Work] = Work.OTHER
    required: ClassVar[tuple[str, ...]] = ("x",)
    optional: ClassVar[tuple[str, ...]] = ("ids",)

    def infer(
        self, inputs: Mapping[str, Tensor], attributes: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], DType]:
        """Shape and type of the result."""
        x = inputs["x"]
        self.need(len(x.shape) == 3, x.name, x.shape, "(batch, tokens, d)")
        if "ids" in inputs:
            need = x.shape[:2]
            self.need(inputs["ids"].shape == need, x.name, inputs["ids"].shape, need)
        else:
            at = attributes.get("at")
            fits = isinstance(at, int) and -1 <= at < x.shape[1]
            self.need(fits, x.name, at, f"a token from 0 to {x.shape[1] - 1}, or -1")
        return (x.shape[0], x.shape[2]), x.dtype

    def space(
        self, inputs: Mapping[str, Tensor], output: Tensor, attributes: Mapping[str, Any]
    ) -> IterationSpace:
        """One point per element of the result, a copy. With ids, the data says which are read: no
        access says it, and neither the ids nor they are counted."""
        batch, width = output.shape
        accesses = [simple(OUTPUT, "batch", "n")]
        if "ids" not in inputs:
            token = Affine((), offset=int(attributes["at"]) % inputs["x"].shape[1])
            first, column = (Affine(((name, 1),)) for name in ("batch", "n"))
            accesses.append(Access(slot="x", indices=(first, token, column)))
        return IterationSpace(dims=(("batch", batch), ("n", width)), accesses=tuple(accesses))

    def reference(self, inputs: Mapping[str, Array], attributes: Mapping[str, Any]) -> Array:
        """In floating point."""
        import numpy as np

        x = inputs["x"]
        if "ids" not in inputs:
            picked: Array = x[:, attributes["at"]]
            return picked
        ids = inputs["ids"]
        at = (ids == attributes["id"] if "id" in attributes else ids).argmax(axis=1)
        found: Array = x[np.arange(len(x)), at]
        return found


RULE = PickTokenRule()
