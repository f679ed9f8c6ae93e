"""The roofline: what a machine could reach on each part of a model at its intensity.

Source: Williams, Waterman and Patterson 2009, Communications of the ACM 52(4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inferstack.analysis.count import Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """A machine of two numbers: its peak and its bandwidth."""

    name: str
    peak_flops_per_s: float
    bandwidth_bytes_per_s: float

    @property
    def ridge_flops_per_byte(self) -> float:
        """The machine's balance: below this intensity, bandwidth binds."""
        return self.peak_flops_per_s / self.bandwidth_bytes_per_s

    def attainable_flops_per_s(self, intensity: float) -> float:
        """min(peak, bandwidth * intensity)."""
        return min(self.peak_flops_per_s, self.bandwidth_bytes_per_s * intensity)


@dataclass(frozen=True, slots=True, kw_only=True)
class RooflinePoint:
    """A part of a model under a roof. intensity in FLOP per byte."""

    name: str
    flops: int
    intensity: float
    attainable_flops_per_s: float
    is_memory_bound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """A roof and the points under it; parts that move nothing or compute nothing have no place."""

    roof: Roof
    points: tuple[RooflinePoint, ...]


def roofline(parts: Mapping[str, Count], roof: Roof) -> Roofline:
    """Each part at its intensity under `roof`."""
    points = (
        RooflinePoint(
            name=name,
            flops=part.flops,
            intensity=part.intensity,
            attainable_flops_per_s=roof.attainable_flops_per_s(part.intensity),
            is_memory_bound=part.intensity < roof.ridge_flops_per_byte,
        )
        for name, part in parts.items()
        if part.flops and part.traffic_bytes
    )
    return Roofline(roof=roof, points=tuple(points))
