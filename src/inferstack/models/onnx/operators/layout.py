"""Nodes that move values or pick some: most move nothing here, they change how a tensor is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from inferstack.models.onnx.file import Node
from inferstack.models.onnx.heads import head_axes
from inferstack.models.onnx.program import INTEGERS, Kind
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.source import Linear, Lookup, Stored, Unit, View
from inferstack.models.onnx.view import REPEATED, Atom, expanded, merged, plain, reshaped, same


def passed(recovery: Recovery, node: Node) -> View | Unit:
    """The value as it is; every floating-point type is ours."""
    return recovery.value(node.inputs[0])


def reshape(recovery: Recovery, node: Node) -> View:
    """Reshape, Flatten, Squeeze, Unsqueeze: the result's shape says all."""
    view = recovery.view(node.inputs[0])
    shape = recovery.program.shape(node.outputs[0], node)
    axes = reshaped(view.axes, shape)
    if axes is None:
        axes = reshaped(recovery.ordered(view).axes, shape)
    if axes is None:
        raise recovery.error(
            node, "cuts axes into parts that lie apart", got=f"{view.shape} to {shape}"
        )
    return replace(view, axes=axes)


def transpose(recovery: Recovery, node: Node) -> View:
    """Axes in another order."""
    view = recovery.view(node.inputs[0])
    order = node.attributes.get("perm", tuple(reversed(range(len(view.axes)))))
    return replace(view, axes=tuple(view.axes[axis] for axis in order))


def expand(recovery: Recovery, node: Node) -> View:
    """The same again along axes."""
    view = recovery.view(node.inputs[0])
    return replace(view, axes=expanded(view.axes, recovery.program.shape(node.outputs[0], node)))


def gather(recovery: Recovery, node: Node) -> View:
    """Rows of a table by ids, or one place of an axis."""
    import numpy as np

    if recovery.is_known(node.inputs[0]):
        return _looked_up(recovery, node)
    if not recovery.is_known(node.inputs[1]):
        raise recovery.error(node, "picks places that follow from what is fed")
    view = recovery.view(node.inputs[0])
    chosen = recovery.program.value(node.inputs[1])
    axis = int(node.attributes.get("axis", 0)) % len(view.axes)
    size = view.shape[axis]
    picked = select(recovery, view, axis, np.atleast_1d(chosen) % size, node)
    axes = reshaped(picked.axes, recovery.program.shape(node.outputs[0], node))
    assert axes is not None, "an axis of one place more or less"
    return replace(picked, axes=axes)


def _looked_up(recovery: Recovery, node: Node) -> View:
    table, index = recovery.constant(node.inputs[0]), node.inputs[1]
    if len(table.shape) != 2 or int(node.attributes.get("axis", 0)) != 0:
        raise recovery.error(node, "looks up something else than rows", got=table.shape)
    if recovery.kind(index) is not Kind.SIDE:
        raise recovery.error(node, "looks up rows by numbers that the model computes")
    shape = recovery.program.shape(node.outputs[0], node)
    ids = recovery.ids(index, node)
    if ids.padding is not None:
        inputs = {"table": recovery.declare(table), "ids": ids.tensor.name}
        says = {"padding_id": ids.padding, "first": ids.first}
        made = recovery.write("position_embedding", node, inputs, says)
        return View(source=made, axes=plain(made.shape))
    integers = recovery.program.facts[node.inputs[0]].element in INTEGERS
    source = Lookup(ids=ids.tensor, table=table, node=node.name, integers=integers)
    axes = reshaped(plain(source.shape), shape)
    if axes is None:
        raise recovery.error(node, "looks up ids in another shape than (batch, tokens)")
    return View(source=source, axes=axes)


def slice_(recovery: Recovery, node: Node) -> View:
    """A part of axes, with steps."""
    import numpy as np

    view = recovery.view(node.inputs[0])
    bounds = [recovery.program.value(n) if n else None for n in node.inputs[1:]]
    starts, ends = bounds[0], bounds[1]
    assert starts is not None, "shape inference has seen it"
    assert ends is not None, "shape inference has seen it"
    axes = bounds[2] if len(bounds) > 2 and bounds[2] is not None else np.arange(len(starts))
    steps = bounds[3] if len(bounds) > 3 and bounds[3] is not None else np.ones(len(starts), int)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = int(axis) % len(view.axes)
        chosen = np.arange(view.shape[place])[int(start) : int(end) : int(step)]
        view = select(recovery, view, place, chosen, node)
    return view


def split(recovery: Recovery, node: Node) -> tuple[View, ...]:
    """Parts of an axis, one after the other."""
    import numpy as np

    view = recovery.view(node.inputs[0])
    axis = int(node.attributes.get("axis", 0)) % len(view.axes)
    found, first = [], 0
    for name in node.outputs:
        size = recovery.program.shape(name, node)[axis]
        found.append((axis, np.arange(first, first + size)))
        first += size
    return tuple(select(recovery, view, axis, chosen, node) for axis, chosen in found)


def select(recovery: Recovery, view: View, axis: int, chosen: Any, node: Node) -> View:
    """Places of one axis. Raises CheckpointError where no operator of ours picks them."""
    import numpy as np

    size = view.shape[axis]
    if np.array_equal(chosen, np.arange(size)):
        return view
    view = recovery.ordered(view)
    source, atoms = view.source, merged(view.axes[axis])
    last = len(source.shape) - 1
    if len(atoms) == 1 and atoms[0].axis == REPEATED:
        axes = list(view.axes)
        axes[axis] = (Atom(REPEATED, len(chosen), 0),)
        return replace(view, axes=tuple(axes))
    if isinstance(source, Linear) and len(atoms) == 1 and atoms[0].axis == last:
        return _columns(view, source, axis, chosen)
    return _token(recovery, view, axis, chosen, node)


def _columns(view: View, source: Linear, axis: int, chosen: Any) -> View:
    """Some columns of a matmul are a narrower matmul."""
    import numpy as np

    last = len(source.shape) - 1
    mine = merged(view.axes[axis])[0]
    atoms = [a for one in view.axes for a in merged(one) if a.axis == last]
    sizes = [a.size for a in atoms]
    place = atoms.index(mine)
    kept = np.arange(source.shape[last]).reshape(sizes).take(chosen, axis=place)
    what = f"{mine.stride}*{hash(chosen.tobytes()):x}of{mine.size}"
    steps, places = 1, {}
    for atom, size in reversed(list(zip(atoms, kept.shape, strict=True))):
        places[atom] = Atom(last, size, steps)
        steps *= size
    axes = tuple(merged(tuple(places.get(a, a) for a in merged(one))) for one in view.axes)
    return replace(view, source=source.columns(kept.reshape(-1), what), axes=axes)


def _token(recovery: Recovery, view: View, axis: int, chosen: Any, node: Node) -> View:
    """The first or the last token."""
    made, axes = recovery.stored(view, node)
    usual = len(made.shape) == 3 and same(axes, plain(made.shape)) and axis == 1
    tokens = made.shape[1] if len(made.shape) > 1 else 0
    modes = {0: "first", tokens - 1: "last"}
    if not usual or len(chosen) != 1 or int(chosen[0]) not in modes:
        raise recovery.error(
            node, "picks a part of an axis that no operator of ours picks",
            got=f"{len(chosen)} of {view.shape[axis]} places of axis {axis} of {view.shape}",
            need="parts of a matmul's columns, the first token or the last",
        )  # fmt: skip
    inputs = {"x": made.name, "mask": recovery.every_token(made.shape[:2])}
    pooled = recovery.write("token_pool", node, inputs, {"mode": modes[int(chosen[0])]})
    batch, width = plain(pooled.shape)
    return View(source=pooled, axes=(batch, (), width))


def concat(recovery: Recovery, node: Node) -> View:
    """What is new behind a cache, a learned token in front of others, features side by side."""
    shape = recovery.program.shape(node.outputs[0], node)
    axis = int(node.attributes["axis"]) % len(shape)
    names = [n for n in node.inputs if recovery.shape(n)[axis] or recovery.is_cache(n)]
    if len(names) == 1:
        return recovery.view(names[0])
    views = [None if recovery.is_known(n) else recovery.view(n) for n in names]
    first, second = views[0], views[1]
    if len(views) == 2 and second is not None:
        if first is None:
            return _prepended(recovery, names[0], second, axis, node)
        if isinstance(first.source, Stored) and recovery.is_cache_tensor(first.source.name):
            return appended(recovery, first, second, axis, node)
    made = None
    for view in views:
        if view is None or axis != len(shape) - 1:
            raise recovery.error(
                node, "joins values as no operator of ours does",
                got=f"axis {axis} of {[recovery.shape(n) for n in names]}",
                need="new keys behind a cache, a token in front, or features side by side",
            )  # fmt: skip
        one = recovery.plain(view, node)
        inputs = {} if made is None else {"a": made.name, "b": one.name}
        made = one if made is None else recovery.write("concatenate", node, inputs)
    assert made is not None, "a Concat has inputs"
    return View(source=made, axes=plain(made.shape))


def appended(recovery: Recovery, cache: View, x: View, axis: int, node: Node) -> View:
    """New keys or values (batch, heads, tokens, width) behind those of a cache."""
    new, axes = recovery.stored(x, node)
    assert isinstance(cache.source, Stored), "asked for where it is"
    heads = cache.shape[1]
    expected = head_axes(new.shape, heads) if len(new.shape) == 3 else ()
    before = head_axes(cache.source.shape, heads)
    if not same(axes, expected) or not same(cache.axes, before) or axis != 2:
        raise recovery.error(
            node, "appends to a cache in another order", got=f"{cache.shape}, {x.shape}",
            need="(batch, heads, tokens, width) both",
        )  # fmt: skip
    inputs = {"cache": cache.source.name, "x": new.name}
    made = recovery.write("append_cache", node, inputs)
    return View(source=made, axes=head_axes(made.shape, heads))


def _prepended(recovery: Recovery, name: str, x: View, axis: int, node: Node) -> View:
    """A table of tokens that are the same for all of the batch."""
    rest = recovery.plain(x, node)
    table, shape = recovery.constant(name), recovery.shape(name)
    if axis != 1 or len(rest.shape) != 3:
        raise recovery.error(node, "puts a constant in front as no operator of ours does")
    rows = table.made("row", shape[1:], lambda values: values[0])
    inputs = {"x": rest.name, "table": recovery.declare(rows)}
    made = recovery.write("prepend", node, inputs)
    return View(source=made, axes=plain(made.shape))


def where(recovery: Recovery, node: Node) -> View:
    """The guard of a softmax: rows that attend to nothing become zeros, as ours are."""
    condition = node.inputs[0]
    if recovery.kind(condition) is Kind.RUNTIME:
        asked = recovery.node(condition)
        if asked.kind == "IsNaN" and recovery.scalar(node.inputs[1]) == 0.0:
            made, _ = recovery.stored(recovery.view(node.inputs[2]), node)
            if recovery.kinds.get(made.name) == "softmax" and asked.inputs[0] == node.inputs[2]:
                return recovery.view(node.inputs[2])
    raise recovery.error(node, "chooses between values as no operator of ours does")


OPERATORS = {
    "Identity": passed,
    "Cast": passed,
    "Dropout": passed,
    "Reshape": reshape,
    "Flatten": reshape,
    "Squeeze": reshape,
    "Unsqueeze": reshape,
    "Transpose": transpose,
    "Expand": expand,
    "Gather": gather,
    "Slice": slice_,
    "Split": split,
    "Concat": concat,
    "Where": where,
}
