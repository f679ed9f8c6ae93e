"""One vector of a sentence: means and maxima of the tokens that a mask leaves."""

from __future__ import annotations

from typing import Any

from inferstack.core.errors import CheckpointError
from inferstack.models.onnx.file import Node
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.regions import Match, Region, close
from inferstack.models.onnx.source import View
from inferstack.models.onnx.view import plain, same
from inferstack.ops.registry import rules
from inferstack.ops.token_pool import MODES

CANDIDATES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("mean_pool", {}),
    ("mean_pool", {"normalize": True}),
    *(("token_pool", {"mode": mode}) for mode in MODES),
)


class Pooling:
    """See the module."""

    needs = frozenset({"ReduceSum", "ReduceMean", "ReduceMax"})

    def match(self, region: Region, recovery: Recovery) -> Match | None:
        """The pooling, tried on random tokens and a random mask."""
        import numpy as np

        shape = region.shape(region.x)
        if len(shape) != 3 or region.shape(region.end) not in ((shape[0], shape[2]),):
            return None
        reads = frozenset[str]().union(*(recovery.program.facts[n].reads for n in region.sides))
        if len(reads) > 1 or region.vectors:
            return None
        generator = np.random.default_rng(0)
        x = generator.standard_normal(shape)
        mask = np.ones(shape[:2], dtype=np.int64)
        if reads:
            (name,) = reads
            if recovery.program.facts[name].shape != shape[:2]:
                return None
            mask = generator.integers(0, 2, shape[:2])
            mask[:, 0] = 1
        made = region.run(x, recovery.fed(reads, dict.fromkeys(reads, mask)))
        for kind, says in CANDIDATES:
            if close(made, rules()[kind].reference({"x": x, "mask": mask}, says)):
                return Match(form=self, kind=kind, says=says, masked=bool(reads))
        return None

    def write(self, recovery: Recovery, node: Node, region: Region, match: Match) -> View:
        """The pooling of the region's x."""
        made, axes = recovery.stored(recovery.view(region.x), node)
        if not same(axes, plain(made.shape)):
            raise CheckpointError(recovery.program.where(node), "pools tokens in another order")
        mask = recovery.every_token(made.shape[:2])
        if match.masked:
            (name,) = recovery.program.facts[region.sides[0]].reads
            mask = recovery.side[name]
        written = recovery.write(match.kind, node, {"x": made.name, "mask": mask}, match.says)
        return View(source=written, axes=plain(written.shape))


FORM = Pooling()
