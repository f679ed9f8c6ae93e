"""Attention that is one node: ONNX's own, and ONNX Runtime's.

Source: onnx, docs/Operators.md, Attention; ONNX Runtime,
docs/ContribOperators.md.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from inferstack.models.onnx.file import Node, Shapes
from inferstack.models.onnx.heads import context, joined, scores, split_heads
from inferstack.models.onnx.operators.elementwise import add_known
from inferstack.models.onnx.operators.layout import appended, select
from inferstack.models.onnx.operators.matmul import linear
from inferstack.models.onnx.operators.rotary import turned
from inferstack.models.onnx.operators.softmax import Term, attended
from inferstack.models.onnx.program import Kind
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.refusals import absent, refuse
from inferstack.models.onnx.source import View
from inferstack.models.onnx.view import reshaped

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

LOWEST = -1e30


def attend(
    recovery: Recovery,
    node: Node,
    query: View,
    key: View,
    value: View,
    scale: float | None,
    terms: list[Term],
    softcap: float = 0.0,
    sinks: str | None = None,
) -> View:
    """Heads (batch, heads, tokens, width) of all three, keys and values maybe fewer."""
    batch, heads, tokens, width = query.shape
    shape = (batch, heads, tokens, key.shape[2])
    if key.shape[1] != heads:
        # Each stands for several heads of the query.
        group = heads // key.shape[1]
        five = (batch, key.shape[1], group, tokens, shape[3])
        axes = reshaped(query.axes, (batch, key.shape[1], group, tokens, width))
        assert axes is not None, "heads are one axis"
        query = replace(query, axes=axes)
        key = replace(key, axes=(key.axes[0], key.axes[1], (), *key.axes[2:]))
        made = scores(recovery, query, key, node, five)
        flat = reshaped(made.axes, shape)
        assert flat is not None, "heads are one axis"
        made = replace(made, axes=flat)
    else:
        made = scores(recovery, query, key, node, shape)
    made = replace(made, factor=made.factor * (scale or width**-0.5))
    if softcap:
        made = recovery.pointwise("softcap", made, node, {"cap": softcap})
    stored, axes = recovery.stored(made, node)
    named = replace_name(node, "softmax")
    found = attended(recovery, stored, axes, terms, named, shape, sinks)
    out = (batch, heads, tokens, value.shape[3])
    return context(recovery, found, value, replace_name(node, "context"), out)


def replace_name(node: Node, what: str) -> Node:
    """The node, for one of the operators that it becomes."""
    return replace(node, name=f"{node.name}.{what}")


def causal_term(recovery: Recovery, shape: tuple[int, ...], window: int = 0) -> Term:
    """Keys behind the query are hidden, and those before the window."""
    import numpy as np

    tokens, context_tokens = shape[-2:]
    ahead = np.arange(context_tokens)[None, :] - np.arange(tokens)[:, None]
    ahead = ahead - (context_tokens - tokens)
    hidden = ahead > 0
    if window > 0:
        hidden |= -ahead >= window
    name = f"causal.{tokens}.{context_tokens}.{window}"
    return Term(shape=shape, added=recovery.given(name, np.where(hidden, LOWEST, 0.0)))


def key_mask(recovery: Recovery, node: Node, number: int, shape: tuple[int, ...]) -> list[Term]:
    """A mask (batch, context), 1 where a key counts."""
    name = node.input(number)
    if name is None:
        return []
    if recovery.kind(name) is Kind.RUNTIME:
        raise recovery.error(node, "has a mask that runs")
    own = recovery.shape(name)
    if own != (shape[0], shape[3]):
        raise recovery.error(
            node, "has a mask of a form that is not read", got=own, need=(shape[0], shape[3]),
        )  # fmt: skip
    return [Term(shape=shape, condition=name, keys=True)]


def fused(recovery: Recovery, node: Node) -> tuple[View | None, ...]:
    """com.microsoft.Attention: one matmul gives queries, keys and values."""
    import numpy as np

    says = node.attributes
    refuse(recovery, node, ("do_rotary", "past_present_share_buffer"))
    absent(recovery, node, {4: "past"})
    x, weight = recovery.view(node.inputs[0]), recovery.constant(node.inputs[1])
    made = linear(recovery, x, weight, node)
    bias = node.input(2)
    if bias is not None:
        made = add_known(recovery, made, bias, node)
    whole, heads = made.shape[2], int(says["num_heads"])
    widths = tuple(says.get("qkv_hidden_sizes") or (whole // 3,) * 3)
    starts = np.cumsum((0, *widths))
    parts = [
        split_heads(
            recovery, select(recovery, made, 2, np.arange(first, first + width), node), heads, node
        )
        for first, width in zip(starts, widths, strict=False)
    ]
    shape = (made.shape[0], heads, made.shape[1], made.shape[1])
    terms = key_mask(recovery, node, 3, shape) + added(recovery, node, 5, shape)
    if says.get("unidirectional"):
        terms.append(causal_term(recovery, shape))
    scale = says.get("scale")
    return (joined(attend(recovery, node, parts[0], parts[1], parts[2], scale, terms)),)


def added(recovery: Recovery, node: Node, number: int, shape: tuple[int, ...]) -> list[Term]:
    """Something that is added to scores."""
    name = node.input(number)
    if name is None:
        return []
    if recovery.kind(name) is Kind.RUNTIME:
        raise recovery.error(node, "adds to its scores what the model computes")
    return [Term(shape=shape, added=name)]


def multi_head(recovery: Recovery, node: Node) -> tuple[View | None, ...]:
    """com.microsoft.MultiHeadAttention: queries, keys and values (batch, tokens, heads * width)."""
    import numpy as np

    says, heads = node.attributes, int(node.attributes["num_heads"])
    query, key, value = (recovery.view(n) for n in node.inputs[:3])
    absent(recovery, node, {8: "past_sequence_length", 9: "cache_indirection"})
    bias = node.input(3)
    if bias is not None:
        first = 0
        biased = []
        for view, slot in zip((query, key, value), "qkv", strict=True):
            if len(view.shape) != 3:
                raise recovery.error(node, "has a bias beside a cache of heads")
            chosen = np.arange(first, first + view.shape[2])
            first += view.shape[2]
            biased.append(add_known(recovery, view, recovery.part(bias, chosen, slot), node))
        query, key, value = biased
    query = split_heads(recovery, query, heads, node)
    key, value = (
        view if len(view.shape) == 4 else split_heads(recovery, view, heads, node)
        for view in (key, value)
    )
    key, value = _behind_past(recovery, node, key, value, 6, 7)
    shape = (query.shape[0], heads, query.shape[2], key.shape[2])
    terms = key_mask(recovery, node, 4, shape) + added(recovery, node, 5, shape)
    if says.get("unidirectional"):
        terms.append(causal_term(recovery, shape))
    made = attend(recovery, node, query, key, value, says.get("scale"), terms)
    return joined(made), key, value


def _behind_past(
    recovery: Recovery, node: Node, key: View, value: View, past_key: int, past_value: int
) -> tuple[View, View]:
    found = []
    for view, number, what in ((key, past_key, "keys"), (value, past_value, "values")):
        name = node.input(number)
        named = replace_name(node, what)
        if name is not None and (recovery.is_cache(name) or recovery.shape(name)[2]):
            view = appended(recovery, recovery.view(name), view, 2, named)
        found.append(view)
    return found[0], found[1]


def grouped(recovery: Recovery, node: Node) -> tuple[View | None, ...]:
    """com.microsoft.GroupQueryAttention: causal, with a cache, maybe with rotary positions."""
    import numpy as np

    says = node.attributes
    heads, kv_heads = int(says["num_heads"]), int(says["kv_num_heads"])
    refuse(recovery, node, ("smooth_softmax", "qk_output", "k_quant_type", "v_quant_type"))
    absent(recovery, node, {9: "position_ids", 10: "attention_bias"})
    query = recovery.view(node.inputs[0])
    if node.input(1) is None:
        width = query.shape[2] // (heads + 2 * kv_heads)
        ends = np.cumsum((0, heads * width, kv_heads * width, kv_heads * width))
        query, key, value = (
            select(recovery, query, 2, np.arange(first, last), node)
            for first, last in pairwise(ends)
        )
    else:
        key, value = recovery.view(node.inputs[1]), recovery.view(node.inputs[2])
    query = split_heads(recovery, query, heads, node)
    key, value = (split_heads(recovery, v, kv_heads, node) for v in (key, value))
    if says.get("do_rotary"):
        cosine, sine = node.inputs[7], node.inputs[8]
        interleaved = bool(says.get("rotary_interleaved", 0))
        query = turned(recovery, query, cosine, sine, replace_name(node, "q"), interleaved)
        key = turned(recovery, key, cosine, sine, replace_name(node, "k"), interleaved)
    key, value = _behind_past(recovery, node, key, value, 3, 4)
    shape = (query.shape[0], heads, query.shape[2], key.shape[2])
    terms = [causal_term(recovery, shape, int(says.get("local_window_size", -1)))]
    sinks = node.input(11)
    drawn = None if sinks is None else recovery.declare(recovery.constant(sinks))
    recovery.notes["grouped attention reads the length of each sequence; here all tokens count"] = (
        None
    )
    made = attend(
        recovery, node, query, key, value, says.get("scale"), terms,
        float(says.get("softcap", 0.0)), drawn,
    )  # fmt: skip
    return joined(made), key, value


def standard(recovery: Recovery, node: Node) -> tuple[View | None, ...]:
    """ONNX's own Attention (from opset 23 on)."""
    says = node.attributes
    absent(recovery, node, {6: "nonpad_kv_seqlen"})
    views = [recovery.view(n) for n in node.inputs[:3]]
    four = len(views[0].shape) == 4
    if not four:
        query_heads, kv_heads = int(says["q_num_heads"]), int(says["kv_num_heads"])
        numbers = (query_heads, kv_heads, kv_heads)
        views = [split_heads(recovery, v, n, node) for v, n in zip(views, numbers, strict=True)]
    query, key, value = views
    key, value = _behind_past(recovery, node, key, value, 4, 5)
    shape = (query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    terms = []
    mask = node.input(3)
    if mask is not None:
        if recovery.program.facts[mask].element == 9:
            if recovery.kind(mask) is Kind.RUNTIME:
                raise recovery.error(node, "has a mask that runs")
            terms.append(Term(shape=shape, condition=mask))
        else:
            terms += added(recovery, node, 3, shape)
    if says.get("is_causal"):
        if node.input(4) is not None and recovery.first:
            raise recovery.error(node, "is causal from its first key on, behind a cache")
        terms.append(causal_term(recovery, shape))
    made = attend(
        recovery, node, query, key, value, says.get("scale"), terms, float(says.get("softcap", 0.0))
    )
    return made if four else joined(made), key, value


def _behind(shapes: list[tuple[int, ...]], number: int, new: int) -> int:
    past = shapes[number] if number < len(shapes) else ()
    return new + (past[2] if len(past) == 4 else 0)


def _fused_shapes(node: Node, shapes: Shapes) -> Shapes:
    batch, tokens = shapes[0][:2]
    sizes = node.attributes.get("qkv_hidden_sizes")
    return [(batch, tokens, sizes[2] if sizes else shapes[1][1] // 3)]


def _multi_shapes(node: Node, shapes: Shapes) -> Shapes:
    query, key, value = shapes[:3]
    heads = int(node.attributes["num_heads"])
    split = len(key) == 4
    width = key[3] if split else key[2] // heads
    deep = value[3] if split else value[2] // heads
    context_tokens = _behind(shapes, 6, key[2] if split else key[1])
    kept = (query[0], heads, context_tokens)
    return [(*query[:2], heads * deep), (*kept, width), (*kept, deep)]


def _grouped_shapes(node: Node, shapes: Shapes) -> Shapes:
    batch, tokens, whole = shapes[0]
    heads, kv_heads = (int(node.attributes[n]) for n in ("num_heads", "kv_num_heads"))
    packed = not node.input(1)
    width = whole // (heads + 2 * kv_heads) if packed else whole // heads
    kept = (batch, kv_heads, _behind(shapes, 3, tokens), width)
    return [(batch, tokens, heads * width), kept, kept]


OPERATORS = {
    "Attention": standard,
    "com.microsoft.Attention": fused,
    "com.microsoft.MultiHeadAttention": multi_head,
    "com.microsoft.GroupQueryAttention": grouped,
}
SHAPES = {
    "com.microsoft.Attention": _fused_shapes,
    "com.microsoft.MultiHeadAttention": _multi_shapes,
    "com.microsoft.GroupQueryAttention": _grouped_shapes,
}
