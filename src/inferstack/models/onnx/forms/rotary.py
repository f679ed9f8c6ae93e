"""Rotary positions: pairs of elements that turn together, however the file cuts and joins them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.models.onnx.file import Node
from inferstack.models.onnx.frequencies import refined, told
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.regions import Match, Region, close
from inferstack.models.onnx.source import View
from inferstack.models.onnx.view import from_tensor, to_tensor
from inferstack.ops.rotary import RULE

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class RotaryForm:
    """See the module."""

    needs = frozenset({"Concat", "Gather"})

    def match(self, region: Region, recovery: Recovery) -> Match | None:
        """The frequencies follow from how one element of each pair turns."""
        import numpy as np

        shape = region.shape(region.x)
        turns = {"Mul", "Concat"} <= region.operations or {"Mul", "Gather"} <= region.operations
        if not turns or region.sides or region.shape(region.end) != shape or len(shape) < 3:
            return None
        try:
            made, axes = recovery.stored(recovery.view(region.x))
        except CheckpointError:
            return None
        width = shape[-1]
        if len(made.shape) != 3 or made.shape[2] % width or width % 2:
            return None
        heads = made.shape[2] // width

        def turned_by(base: Array) -> Array | None:
            found = region.run(from_tensor(axes, base), {})
            return None if found is None else to_tensor(axes, made.shape, found)

        x = np.random.default_rng(0).standard_normal(made.shape)
        wanted = turned_by(x)
        if wanted is None:
            return None
        for says in self._candidates(region, recovery, made.shape, heads, turned_by):
            if close(RULE.reference({"x": x}, says), wanted):
                return Match(form=self, kind="rotary", says=says)
        return None

    def _candidates(
        self, region: Region, recovery: Recovery, shape: tuple[int, ...], heads: int, turned_by: Any
    ) -> Iterator[dict[str, Any]]:
        import numpy as np

        width = shape[2] // heads
        sizes = {region.shape(n)[-1] for n in region.leaves if region.shape(n)}
        parts = sorted(
            {t for s in sizes for t in (s, 2 * s) if t <= width and t % 2 == 0 and t > 0}
        )
        for turned in reversed(parts):
            for interleaved in (False, True):
                probe = np.zeros((*shape[:2], heads, width))
                first = np.s_[0:turned:2] if interleaved else np.s_[0 : turned // 2]
                second = np.s_[1:turned:2] if interleaved else np.s_[turned // 2 : turned]
                probe[..., first] = 1.0
                found = turned_by(probe.reshape(shape))
                if found is None:
                    return
                there = found.reshape(*shape[:2], heads, width)[0, :, 0]
                cosine, sine = there[:, first], there[:, second]
                amplitude = float(np.sqrt(np.square(cosine) + np.square(sine)).mean())
                if amplitude < 1e-3:
                    continue
                says: dict[str, Any] = {"heads": heads, "theta": 10000.0}
                if turned != width:
                    says["turned"] = turned
                if interleaved:
                    says["interleaved"] = True
                if recovery.first:
                    says["first"] = recovery.first
                if abs(amplitude - 1) > 1e-5:
                    says["amplitude"] = amplitude
                angles = np.arctan2(sine, cosine)
                for frequencies in self._frequencies(region, recovery, angles):
                    yield says | told(frequencies)

    def _frequencies(self, region: Region, recovery: Recovery, angles: Array) -> Iterator[Array]:
        """Those that may give these angles (tokens, pairs)."""
        import numpy as np

        pairs = angles.shape[1]
        positions = np.arange(len(angles)) + recovery.first
        for values in recovery.behind(region.leaves):
            flat = values.reshape(-1)
            if flat.size == pairs and values.dtype.kind == "f" and (flat > 0).all():
                yield flat.astype(np.float64)
            if values.ndim >= 2 and values.shape[-2] > 2 and values.dtype.kind == "f":
                table = values.reshape(-1, *values.shape[-2:])[0].astype(np.float64)
                if table.shape[1] in (pairs, 2 * pairs) and np.abs(table[0]).max() < 1e-6:
                    # Of sines, from position 0 on.
                    yield refined(np.arcsin(np.clip(table[1, :pairs], -1, 1)), table[:, :pairs])
        if len(angles) > 1:
            step = (angles[1] - angles[0] + np.pi) % (2 * np.pi) - np.pi
            exact = np.unwrap(angles, axis=0)
            yield np.where(
                np.abs(step) < 3.0, (exact[-1] - exact[0]) / (positions[-1] - positions[0]), step
            )

    def write(self, recovery: Recovery, node: Node, region: Region, match: Match) -> View:
        """The turned heads of the region's x."""
        made, axes = recovery.stored(recovery.view(region.x), node)
        written = recovery.write("rotary", node, {"x": made.name}, match.says)
        return View(source=written, axes=axes)


FORM = RotaryForm()
