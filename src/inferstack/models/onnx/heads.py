"""Attention's operands: (batch, tokens, heads * width) tensors seen as heads."""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.onnx.file import Node
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.source import Scores, Stored, View
from inferstack.models.onnx.view import REPEATED, Atom, Axes, merged, plain, reshaped, size_of


def swapped(view: View) -> View:
    """The last two axes the other way around."""
    axes = (*view.axes[:-2], view.axes[-1], view.axes[-2])
    return View(source=view.source, axes=axes, factor=view.factor, per=view.per)


def head_axes(shape: tuple[int, ...], heads: int) -> Axes:
    """(batch, heads, tokens, width) of a tensor (batch, tokens, heads * width)."""
    batch, tokens, whole = shape
    width = whole // heads
    atoms = Atom(0, batch, 1), Atom(2, heads, width), Atom(1, tokens, 1), Atom(2, width, 1)
    return tuple(merged((atom,)) for atom in atoms)


def heads_of(recovery: Recovery, view: View, node: Node) -> tuple[Stored, int, int]:
    """The tensor, its heads, and how often each is repeated, of a value (..., tokens, width).

    Raises CheckpointError for any other layout.
    """
    made, axes = recovery.stored(view, node)
    if len(made.shape) == 3 and len(axes) >= 2:
        width = size_of(axes[-1])
        heads = made.shape[2] // max(width, 1)
        lead = tuple(atom for axis in axes[:-2] for atom in axis)
        batch, head, tokens, last = head_axes(made.shape, heads)
        own = merged(tuple(atom for atom in lead if atom.axis != REPEATED))
        sound = own == merged((*batch, *head)) and merged(axes[-2]) == tokens
        if sound and merged(axes[-1]) == last and _repeats_each(lead):
            repeats = size_of(tuple(atom for atom in lead if atom.axis == REPEATED))
            return made, heads, repeats
    raise recovery.error(
        node, "is an attention whose operand is no row of heads", got=f"{view.shape}",
        need="(batch, heads, tokens, width) of projections (batch, tokens, heads * width)",
    )  # fmt: skip


def _repeats_each(lead: tuple[Atom, ...]) -> bool:
    """Whether what is repeated stands behind all that is not."""
    repeated = [atom.axis == REPEATED for atom in lead if atom.size != 1]
    return repeated == sorted(repeated)


def scores(recovery: Recovery, query: View, key: View, node: Node, shape: tuple[int, ...]) -> View:
    """Query times key, of `shape` in the file; key (..., tokens, width)."""
    factor = query.factor * key.factor
    unscaled = [
        View(source=v.source, axes=v.axes, per=v.per) for v in (query, key)
    ]  # fmt: skip
    q, heads, repeated = heads_of(recovery, unscaled[0], node)
    k, kv_heads, repeats = heads_of(recovery, unscaled[1], node)
    if repeated != 1 or heads % kv_heads or kv_heads * repeats not in (heads, kv_heads):
        raise recovery.error(
            node, "has heads that do not fit each other", got=f"{heads} and {kv_heads} x {repeats}"
        )
    if repeats == 1 and kv_heads not in (1, heads) and len(shape) < 5:
        raise recovery.error(node, "has fewer heads of keys, which nothing repeats", got=kv_heads)
    source = Scores(query=q, key=k, heads=heads, kv_heads=kv_heads, node=node.name)
    return _as(recovery, View(source=source, axes=plain(source.shape), factor=factor), node, shape)


def context(
    recovery: Recovery, probabilities: View, value: View, node: Node, shape: tuple[int, ...]
) -> View:
    """Probabilities times values, of `shape` in the file."""
    p, axes = recovery.stored(probabilities, node)
    flat = reshaped(axes, p.shape)
    if flat is None or flat != plain(p.shape):
        raise recovery.error(node, "has probabilities in another order than heads, tokens, context")
    factor = value.factor
    v, kv_heads, _ = heads_of(
        recovery, View(source=value.source, axes=value.axes, per=value.per), node
    )
    heads = p.shape[1]
    inputs = {"probabilities": p.name, "value": v.name}
    made = recovery.write("attention_context", node, inputs, {"heads": heads, "kv_heads": kv_heads})
    view = View(source=made, axes=head_axes(made.shape, heads), factor=factor)
    return _as(recovery, view, node, shape)


def _as(recovery: Recovery, view: View, node: Node, shape: tuple[int, ...]) -> View:
    axes = reshaped(view.axes, shape)
    if axes is None:
        raise recovery.error(node, "has heads that lie in no order of ours", got=shape)
    return View(source=view.source, axes=axes, factor=view.factor)


def split_heads(recovery: Recovery, view: View, heads: int, node: Node) -> View:
    """(batch, tokens, heads * width) as (batch, heads, tokens, width)."""
    batch, tokens, whole = view.shape
    axes = reshaped(view.axes, (batch, tokens, heads, whole // heads))
    if axes is None:
        raise recovery.error(node, "has heads that lie apart", got=view.shape)
    return replace(view, axes=(axes[0], axes[2], axes[1], axes[3]))


def joined(view: View) -> View:
    """The other way around."""
    batch, heads, tokens, width = view.axes
    return replace(view, axes=(batch, tokens, (*heads, *width)))
