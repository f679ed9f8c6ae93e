"""Rotary positions that are one node, by tables of cosines and sines.

Source: onnx, docs/Operators.md, RotaryEmbedding; ONNX Runtime, docs/ContribOperators.md.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.ir.graph import Attribute
from inferstack.models.onnx.file import Node, Shapes
from inferstack.models.onnx.frequencies import frequencies_of
from inferstack.models.onnx.heads import heads_of, joined, split_heads
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.refusals import refuse
from inferstack.models.onnx.source import View


def turned(
    recovery: Recovery, view: View, cosine: str, sine: str, node: Node, interleaved: bool
) -> View:
    """Heads turned by tables (positions, turned / 2) of cosines and sines."""
    import numpy as np

    for name in (cosine, sine):
        if not recovery.is_known(name):
            raise recovery.error(node, "has tables of positions that run")
    made, heads, repeats = heads_of(recovery, view, node)
    tables = [recovery.constant(n).values().astype(np.float64) for n in (cosine, sine)]
    needed = recovery.first + made.shape[1]
    if repeats != 1 or any(table.ndim != 2 or len(table) < needed for table in tables):
        raise recovery.error(
            node, "has too few positions", got=tables[0].shape, need=f"{needed:,} rows"
        )
    says = frequencies_of(tables[0], tables[1])
    if says is None:
        raise recovery.error(node, "has tables that are no cosines and sines of positions")
    attributes: dict[str, Attribute] = {"heads": heads, "theta": 10000.0, **says}
    width = made.shape[2] // heads
    if 2 * tables[0].shape[1] != width:
        attributes["turned"] = 2 * tables[0].shape[1]
    if interleaved:
        attributes["interleaved"] = True
    if recovery.first:
        attributes["first"] = recovery.first
    written = recovery.write("rotary", node, {"x": made.name}, attributes)
    return replace(view, source=written, factor=1.0)


def rotary(recovery: Recovery, node: Node) -> View:
    """RotaryEmbedding, ONNX's (x, cosines, sines, positions) and ONNX Runtime's (x, positions,
    cosines, sines)."""
    says = node.attributes
    refuse(recovery, node, ("is_packed_batching", "scale_is_set"))
    theirs = node.kind.startswith("com.")
    cosine, sine = (node.inputs[2], node.inputs[3]) if theirs else node.inputs[1:3]
    view = recovery.view(node.inputs[0])
    heads = int(says.get("num_heads", 0))
    if len(view.shape) == 3:
        if not heads:
            turns = 2 * recovery.shape(cosine)[-1]
            heads = view.shape[2] // turns
        split = split_heads(recovery, view, heads, node)
        interleaved = bool(says.get("interleaved", 0))
        return joined(
            turned(recovery, split, *_tables(recovery, node, cosine, sine), node, interleaved)
        )
    interleaved = bool(says.get("interleaved", 0))
    return turned(recovery, view, *_tables(recovery, node, cosine, sine), node, interleaved)


def _tables(recovery: Recovery, node: Node, cosine: str, sine: str) -> tuple[str, str]:
    """The tables, whole, of which the file may have picked rows by position."""
    found = []
    for name in (cosine, sine):
        if not recovery.is_known(name):
            raise recovery.error(node, "has tables of positions that run")
        rows = recovery.position_rows(name)
        if rows is not None and rows[1] == recovery.first:
            name = rows[0]
        found.append(name)
    return found[0], found[1]


def _same(node: Node, shapes: Shapes) -> Shapes:
    return [shapes[0]]


OPERATORS = {"RotaryEmbedding": rotary, "com.microsoft.RotaryEmbedding": rotary}
SHAPES = {"com.microsoft.RotaryEmbedding": _same}
