"""Calibration: what the activations of the float graph look like on real sentences.

One pass, deterministic: the same batches in the same order give the same statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import DataError, UnknownNameError
from inferstack.ir.graph import Graph, Operator
from inferstack.ops.execute import execute

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]

Feeds = Mapping[str, "Array"]

BIN_SHIFT = 17
"""float32 bits dropped for the histogram: 6 bits of mantissa stay, 64 bins per octave."""
CANDIDATES = 160
PERCENTILE = 99.99


class Clipping(StrEnum):
    """How the range of a static int8 tensor follows from its statistics."""

    ABSMAX = "absmax"
    PERCENTILE = "percentile"
    """The 99.99th percentile of the magnitude."""
    MSE = "mse"
    """The range whose int8 error, rounding plus clipping, has the least mean square."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statistics:
    """One tensor (..., channels) over all attended tokens.

    histogram: counts by magnitude, 64 bins per octave. channel_absmax, channel_square (the mean
    square): (channels,).
    """

    tensor: str
    histogram: npt.NDArray[np.int64]
    channel_absmax: npt.NDArray[np.float64]
    channel_square: npt.NDArray[np.float64]

    @property
    def absmax(self) -> float:
        """The largest magnitude."""
        return float(self.channel_absmax.max(initial=0.0))

    def percentile(self, percent: float) -> float:
        """The magnitude that `percent` of all values stay under, to the width of a bin."""
        import numpy as np

        counts = np.cumsum(self.histogram)
        index = int(np.searchsorted(counts, counts[-1] * percent / 100))
        return min(float(magnitudes()[index]) * (1 + 1 / 128), self.absmax)

    def mse_clip(self) -> float:
        """The clip c of least mean square error: (|x| - c)^2 above c, step^2 / 12 below."""
        import numpy as np

        used = np.flatnonzero(self.histogram)
        if used.size == 0 or self.absmax == 0:
            return self.absmax
        centre = magnitudes()[used].astype(np.float64)
        count = self.histogram[used].astype(np.float64)
        candidates = self.absmax * np.linspace(0.05, 1.0, CANDIDATES)
        errors = []
        for clip in candidates:
            step = clip / 127
            rounding = np.minimum(step**2 / 12, centre**2)
            beyond = np.maximum(centre - clip, 0.0) ** 2
            errors.append(float((count * (rounding + beyond)).sum()))
        return float(candidates[int(np.argmin(errors))])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """Statistics by tensor name, and the batches they come from."""

    statistics: Mapping[str, Statistics]
    batches: tuple[Feeds, ...] = field(repr=False)
    samples: int
    clipping: Clipping

    def of(self, tensor: str) -> Statistics:
        """The statistics of a tensor. Raises UnknownNameError where it was not observed."""
        if tensor not in self.statistics:
            raise UnknownNameError("calibration", "tensor", tensor, self.statistics)
        return self.statistics[tensor]

    def clip(self, tensor: str) -> float:
        """The magnitude that int8's 127 stands for, by the chosen clipping; over 0."""
        statistics = self.of(tensor)
        match self.clipping:
            case Clipping.ABSMAX:
                clip = statistics.absmax
            case Clipping.PERCENTILE:
                clip = statistics.percentile(PERCENTILE)
            case Clipping.MSE:
                clip = statistics.mse_clip()
        return clip if clip > 0 else 1.0


def calibrate(
    graph: Graph,
    batches: Iterable[Feeds],
    *,
    clipping: Clipping = Clipping.MSE,
    progress: Callable[[int], None] | None = None,
) -> Calibration:
    """Run the float graph on `batches` and observe every tensor that is given or that an operator
    writes, where it is float.

    Padded tokens (mask 0) are not observed. Where the graph's inputs are words alone, batches may
    be shorter: all arrays of one have the shape (batch, tokens), tokens up to what the graph's
    position table holds. Else they have the shapes of the graph.
    progress: called with the sentences of each batch done. Raises DataError without any sentence.
    """
    from inferstack.ops.retoken import with_tokens

    mask_name = mask_input(graph)
    kept = tuple(batches)
    collectors: dict[str, _Collector] = {}
    samples = 0
    for feeds in kept:
        first = feeds[graph.inputs[0]]
        mask = feeds[mask_name] != 0 if mask_name else None

        def observe(operator: Operator, result: Array, mask: Array | None = mask) -> None:
            if result.dtype.kind == "f":
                collector = collectors.setdefault(operator.output, _Collector())
                collector.add(attended(result, mask))

        fits = all(feeds[name].shape == graph.tensors[name].shape for name in graph.inputs)
        ready = graph if fits else with_tokens(graph, first.shape[1])
        execute(ready, feeds, observe=observe)
        for name in graph.inputs:
            if feeds[name].dtype.kind == "f":
                collector = collectors.setdefault(name, _Collector())
                collector.add(attended(feeds[name], mask))
        samples += first.shape[0]
        if progress is not None:
            progress(first.shape[0])
    if samples == 0:
        raise DataError("calibration", "there are no sentences to calibrate on", need="at least 1")
    return Calibration(
        statistics={name: collector.finish(name) for name, collector in collectors.items()},
        batches=kept,
        samples=samples,
        clipping=clipping,
    )


def mask_input(graph: Graph) -> str | None:
    """The graph input that some operator takes as `mask`; None where there is none."""
    names = {op.inputs["mask"] for op in graph.operators if "mask" in op.inputs}
    return next((name for name in graph.inputs if name in names), None)


def attended(result: Array, mask: Array | None) -> Array:
    """The rows (count, channels) of attended tokens of (batch, tokens, d) or of attention scores.

    Of scores (batch, heads, tokens, context) both axes are selected, and the row is one value.
    """
    import numpy as np

    if mask is not None and result.ndim == 3 and result.shape[:2] == mask.shape:
        return result[mask]
    if mask is not None and result.ndim == 4 and result.shape[2:] == (mask.shape[1],) * 2:
        both = mask[:, None, :, None] & mask[:, None, None, :]
        return result[np.broadcast_to(both, result.shape)].reshape(-1, 1)
    return result.reshape(-1, result.shape[-1])


def magnitudes() -> npt.NDArray[np.float32]:
    """The centre of each histogram bin."""
    import numpy as np

    bits = (np.arange(1 << (31 - BIN_SHIFT), dtype=np.uint32) << BIN_SHIFT) + (1 << (BIN_SHIFT - 1))
    values = bits.astype(np.uint32).view(np.float32)
    return np.where(np.isfinite(values), values, np.float32(np.finfo(np.float32).max))


class _Collector:
    """Statistics in the making."""

    def __init__(self) -> None:
        self.histogram: Array | None = None
        self.absmax: Array | None = None
        self.total: Array | None = None
        self.rows = 0

    def add(self, rows: Array) -> None:
        """Count (count, channels) values."""
        import numpy as np

        if rows.shape[0] == 0:
            return
        bits = np.ascontiguousarray(rows, dtype=np.float32).view(np.uint32)
        index = (bits & np.uint32(0x7FFFFFFF)) >> np.uint32(BIN_SHIFT)
        counts = np.bincount(index.reshape(-1), minlength=1 << (31 - BIN_SHIFT))
        absmax = np.abs(rows).max(axis=0).astype(np.float64)
        total = np.square(rows, dtype=np.float64).sum(axis=0)
        if self.histogram is None or self.absmax is None or self.total is None:
            self.histogram, self.absmax, self.total = counts, absmax, total
        else:
            self.histogram = self.histogram + counts
            self.absmax = np.maximum(self.absmax, absmax)
            self.total = self.total + total
        self.rows += rows.shape[0]

    def finish(self, tensor: str) -> Statistics:
        """The frozen statistics."""
        import numpy as np

        if self.histogram is None or self.absmax is None or self.total is None:
            raise DataError("calibration", f"no attended token reached tensor {tensor}")
        if not np.isfinite(self.absmax).all():
            raise DataError("calibration", f"tensor {tensor} has values that are not finite")
        return Statistics(
            tensor=tensor,
            histogram=self.histogram.astype(np.int64),
            channel_absmax=self.absmax,
            channel_square=self.total / self.rows,
        )
