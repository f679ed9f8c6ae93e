"""`CompressionMethod`: what a file in this folder offers; found by its `METHOD`."""

from __future__ import annotations

from functools import cache
from typing import Protocol

from inferstack.compress.calibration import Calibration
from inferstack.core.errors import UnknownNameError
from inferstack.core.plugins import discover
from inferstack.ir.graph import Graph


class CompressionMethod(Protocol):
    """A rewrite of a float graph into one that computes nearly the same with less."""

    name: str
    description: str

    def apply(self, graph: Graph, calibration: Calibration) -> Graph:
        """The compressed, verified graph. Raises InputError naming what it cannot handle."""
        ...


@cache
def methods() -> dict[str, CompressionMethod]:
    """All methods by name: this folder's files and the entry points `inferstack.compress`."""
    import inferstack.compress

    return {method.name: method for method in discover(inferstack.compress, "METHOD").values()}


def method(name: str) -> CompressionMethod:
    """The method called `name`. Raises UnknownNameError."""
    known = methods()
    if name not in known:
        raise UnknownNameError("compress", "compression method", name, known)
    return known[name]
