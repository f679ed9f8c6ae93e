"""Rows that a norm works on: the last axis, or equal parts of it (heads), `width` elements each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferstack.ops.rule import OUTPUT, Access, Affine, IterationSpace


def row_width(shape: tuple[int, ...], attributes: Mapping[str, Any]) -> int:
    """Elements of a row: attribute width, or the whole last axis."""
    return int(attributes.get("width", shape[-1]))


def table_shapes(shape: tuple[int, ...], width: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What a table may be: an entry for each element of a row, or of every row (rows, width)."""
    return (width,), (shape[-1] // width, width)


def row_space(
    shape: tuple[int, ...],
    attributes: Mapping[str, Any],
    tables: Mapping[str, int],
    flops_per_point: int,
) -> IterationSpace:
    """One point per element. tables: slots with the axes of their tables, see `table_shapes`."""
    names = tuple(f"d{axis}" for axis in range(len(shape)))
    width = row_width(shape, attributes)
    dims = dict(zip(names, shape, strict=True))
    last = Affine(((names[-1], 1),))
    if width != shape[-1] or 2 in tables.values():
        del dims[names[-1]]
        dims |= {"head": shape[-1] // width, names[-1]: width}
        last = Affine((("head", width), (names[-1], 1)))
    indices = (*(Affine(((name, 1),)) for name in names[:-1]), last)
    entry = (Affine((("head", 1),)), Affine(((names[-1], 1),)))
    given = [Access(slot=slot, indices=entry[-axes:]) for slot, axes in tables.items()]
    return IterationSpace(
        dims=tuple(dims.items()),
        accesses=(Access(slot="x", indices=indices), *given, Access(slot=OUTPUT, indices=indices)),
        flops_per_point=flops_per_point,
    )
