"""Norms of rows: LayerNorm, RMSNorm, and rows of length 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from inferstack.models.onnx.file import Node
from inferstack.models.onnx.operators.norms import norm
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.regions import MOVES, Match, Region, close
from inferstack.models.onnx.source import View
from inferstack.ops.registry import rules

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

LARGEST_EPSILON = 0.1
WIDTH = 48
"""Of the rows that a norm without vectors is tried on."""


class Norms:
    """See the module."""

    needs = frozenset(
        {
            "Sqrt",
            "Pow",
            "ReduceMean",
            "ReduceL2",
            "ReduceSumSquare",
            "LpNormalization",
            "Reciprocal",
        }
    )

    def match(self, region: Region, recovery: Recovery) -> Match | None:
        """The norm, tried on rows with vectors of random numbers."""
        import numpy as np

        if region.operations & (MOVES - {"Expand"}) or region.sides or region.other_leaves:
            return None
        vectors, shape = region.vectors, region.shape(region.x)
        if len(vectors) > 2 or region.shape(region.end) != shape:
            return None
        generator = np.random.default_rng(0)
        # Of two sizes, so that what is added to the variance shows.
        rows = generator.standard_normal((2, shape[-1])) * [[3.0], [2e-3]] + [[1.0], [1e-3]]
        lead = (*(1,) * (len(shape) - 2), 2) if len(shape) > 1 else ()
        if "Expand" in region.operations:
            return None
        x = rows.reshape((*lead, shape[-1])) if lead else rows[0]
        given = {
            region.leaves[number]: generator.uniform(0.5, 1.5, region.shape(region.leaves[number]))
            for number in vectors
        }
        made = region.run(x, given)
        if made is None:
            return None
        for match, tables in self._candidates(region, given):
            inputs = {"x": x, **tables}
            if close(made, rules()[match.kind].reference(inputs, match.says)):
                return match
        return None

    def _candidates(
        self, region: Region, given: dict[str, Array]
    ) -> Iterator[tuple[Match, dict[str, Array]]]:
        import numpy as np

        vectors, width = region.vectors, region.shape(region.x)[-1]
        epsilons = sorted({v for _, v in region.scalars if 0 < v < LARGEST_EPSILON}) or [0.0]
        values = [given[region.leaves[number]].reshape(-1) for number in vectors]
        ones = np.ones(width)
        if not vectors:
            yield Match(form=self, kind="unit_length", says={}), {}
        for epsilon in epsilons:
            says = {"epsilon": epsilon}
            if len(vectors) < 2:
                slots = {"gamma": vectors[0]} if vectors else {}
                tables = {"gamma": values[0] if vectors else ones}
                for kind in ("rmsnorm", "layernorm"):
                    yield (
                        Match(form=self, kind=kind, says=says, slots=slots, ones=not vectors),
                        tables,
                    )
                continue
            for first, second in ((0, 1), (1, 0)):
                slots = {"gamma": vectors[first], "beta": vectors[second]}
                tables = {"gamma": values[first], "beta": values[second]}
                yield Match(form=self, kind="layernorm", says=says, slots=slots), tables

    def write(self, recovery: Recovery, node: Node, region: Region, match: Match) -> View:
        """The norm of the region's x."""
        x = recovery.view(region.x)
        if match.kind == "unit_length":
            made, axes, _ = recovery.rows(x, node)
            written = recovery.write("unit_length", node, {"x": made.name})
            return View(source=written, axes=axes)
        names = {slot: recovery.flat(region.leaves[number]) for slot, number in match.slots.items()}
        gamma = names.get("gamma") or recovery.ones(region.shape(region.x)[-1])
        return norm(recovery, x, match.kind, gamma, names.get("beta"), match.says["epsilon"], node)


FORM = Norms()
