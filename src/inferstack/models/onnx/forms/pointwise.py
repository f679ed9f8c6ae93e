"""GELU in its forms, SiLU, and caps by tanh."""

from __future__ import annotations

import math
from typing import Any

from inferstack.models.onnx.file import Node
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.regions import MOVES, Match, Region, close
from inferstack.models.onnx.source import View
from inferstack.ops.registry import rules

CANDIDATES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("gelu", {"approximate": "tanh"}),
    ("gelu", {"approximate": "quick"}),
    ("silu", {}),
)


class Pointwise:
    """Functions of each element that take several nodes."""

    needs = frozenset({"Erf", "Tanh", "Sigmoid", "Exp"})

    def match(self, region: Region, recovery: Recovery) -> Match | None:
        """The function, tried on a row of numbers."""
        import numpy as np

        moved = region.operations & MOVES
        if moved or region.sides or region.vectors or region.other_leaves:
            return None
        rank = len(region.shape(region.x))
        x = np.linspace(-6, 6, 101).reshape((*(1,) * (rank - 1), 101))
        made = region.run(x, {})
        caps = {value for _, value in region.scalars if value > 0}
        caps |= {1 / value for value in caps}
        softcaps: list[tuple[str, dict[str, Any]]] = [("softcap", {"cap": cap}) for cap in caps]
        for kind, says in (*CANDIDATES, *softcaps):
            if close(made, rules()[kind].reference({"x": x}, says)):
                return Match(form=self, kind=kind, says=says)
        # Our own is compiled, which takes seconds where graphs are only counted.
        exact = np.vectorize(math.erf)(x * math.sqrt(0.5))
        if close(made, x * (1 + exact) / 2):
            return Match(form=self, kind="gelu", says={"approximate": "none"})
        return None

    def write(self, recovery: Recovery, node: Node, region: Region, match: Match) -> View:
        """The function of the region's x."""
        return recovery.pointwise(match.kind, recovery.view(region.x), node, match.says)


FORM = Pointwise()
