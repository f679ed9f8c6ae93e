"""The softmax of an attention, with what hides keys in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Attribute, TensorRole
from inferstack.models.onnx.file import Node
from inferstack.models.onnx.masks import MaskForm, mask_form
from inferstack.models.onnx.program import Kind
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.source import Stored, View
from inferstack.models.onnx.view import Axes, reshaped, to_tensor

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

PASSES = ("Cast", "Identity")
MOVES = (*PASSES, "Reshape", "Squeeze", "Unsqueeze")
"""May stand between two masks."""
LOGARITHMIC = (128, 64, 256, 32, 512)
"""Distances up to which relative positions have buckets of their own, the usual one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Something that is done to scores of `shape`: `added` to them, or hidden where `condition`,
    turned around by `hides`, is false. keys: the condition is one for each (batch, key)."""

    shape: tuple[int, ...]
    added: str | None = None
    condition: str | None = None
    hides: bool = False
    keys: bool = False


def softmax(recovery: Recovery, node: Node) -> View:
    """Softmax over the last axis."""
    shape = recovery.program.shape(node.outputs[0], node)
    usual = -1 if recovery.program.file.opset >= 13 else 1
    if int(node.attributes.get("axis", usual)) not in (-1, len(shape) - 1):
        raise recovery.error(node, "is a softmax over another axis than the last")
    inner, terms = _peeled(recovery, node.inputs[0])
    view = recovery.view(inner)
    made, axes = recovery.stored(view, node)
    if len(made.shape) != 4:
        return _alone(recovery, made, axes, shape, node)
    return attended(recovery, made, axes, terms, node, shape)


def _alone(
    recovery: Recovery, made: Stored, axes: Axes, shape: tuple[int, ...], node: Node
) -> View:
    """Of logits: each row by itself."""
    raise recovery.error(
        node, "is a softmax outside of an attention", got=shape,
        need="(batch, heads, tokens, context)",
        hint="export the model up to its logits; the largest one stays the same",
    )  # fmt: skip


def attended(
    recovery: Recovery,
    made: Stored,
    axes: Axes,
    terms: list[Term],
    node: Node,
    shape: tuple[int, ...],
    sinks: str | None = None,
) -> View:
    """The softmax of scores `made` that lie at `axes`, as a value of `shape`."""
    form = _form(recovery, made, axes, terms, node) if terms else None
    says: dict[str, Attribute] = {"causal": False}
    inputs: dict[str, str] = {}
    if form is not None:
        if form.bias is not None:
            made = _biased(recovery, made, form, terms, node)
        says["causal"] = form.causal
        if form.window:
            says["window"] = form.window
        if form.mask is not None:
            inputs["mask"] = recovery.side[form.mask]
    if sinks is not None:
        inputs["sinks"] = sinks
    written = recovery.write("softmax", node, {"x": made.name, **inputs}, says)
    found = reshaped(axes, shape)
    assert found is not None, "a softmax keeps the shape"
    return View(source=written, axes=found)


def _peeled(recovery: Recovery, name: str) -> tuple[str, list[Term]]:
    """What scores are before masks, and the masks."""
    terms: list[Term] = []
    while recovery.program.facts[name].node is not None:
        node, shape = recovery.node(name), recovery.shape(name)
        runs = [n for n in node.inputs if n and recovery.kind(n) is Kind.RUNTIME]
        if len(runs) != 1:
            break
        others = [n for n in node.inputs if n and n != runs[0]]
        if node.kind == "Add" and recovery.scalar(others[0]) is None:
            terms.append(Term(shape=shape, added=others[0]))
        elif node.kind == "Where" and runs[0] != node.inputs[0] and len(others) == 2:
            terms.append(_choice(recovery, node, runs[0], shape))
        elif node.kind == "Max" and (recovery.scalar(others[0]) or 0.0) < -1e30:
            pass
        elif node.kind not in (MOVES if terms else PASSES):
            break
        name = runs[0]
    return name, terms


def _choice(recovery: Recovery, node: Node, kept: str, shape: tuple[int, ...]) -> Term:
    """Where(condition, scores, lowest), or the other way around."""
    hides = node.inputs[2] == kept
    other = node.inputs[1] if hides else node.inputs[2]
    lowest = recovery.scalar(other)
    if lowest is None or lowest > -5000.0:
        raise recovery.error(node, "puts other numbers than very low ones in place of scores")
    return Term(shape=shape, condition=node.inputs[0], hides=hides)


def _form(
    recovery: Recovery, made: Stored, axes: Axes, terms: list[Term], node: Node
) -> MaskForm | None:
    batch, heads, tokens, context = made.shape
    reads = frozenset[str]().union(
        *(recovery.program.facts[n].reads for t in terms for n in (t.added, t.condition) if n)
    )
    masks = tuple(
        name for name in sorted(reads)
        if recovery.program.facts[name].shape == (batch, context) and "mask" in recovery.side[name]
    )  # fmt: skip

    def evaluate(given: Mapping[str, Array]) -> Array:
        import numpy as np

        fed = recovery.fed(reads, given)
        total = np.zeros((batch, heads, tokens, context))
        for term in terms:
            total += _laid(_of(recovery, term, fed), axes, made.shape, recovery, node)
        return total

    form = mask_form(evaluate, masks, batch, tokens, context)
    if form is None:
        names = ", ".join(sorted(reads)) or "nothing that is fed"
        raise recovery.error(
            node, "has a mask that our softmax cannot say", got=f"one that follows from {names}",
            need="keys hidden by a mask (batch, context), causal, or within a window",
        )  # fmt: skip
    if form.behind:
        recovery.notes["positions are those of sequences with padding behind them alone"] = None
    return form


def _of(recovery: Recovery, term: Term, fed: dict[str, Array]) -> Array:
    import numpy as np

    if term.added is not None:
        values = recovery.program.evaluate(term.added, fed).astype(np.float64)
        return np.broadcast_to(np.maximum(values, -1e30), term.shape)
    assert term.condition is not None, "a term is one of both"
    shown = recovery.program.evaluate(term.condition, fed).astype(np.bool_) != term.hides
    if term.keys:
        shown = shown[:, None, None, :]
    return np.broadcast_to(np.where(shown, 0.0, -1e30), term.shape)


def _laid(
    values: Array, axes: Axes, shape: tuple[int, ...], recovery: Recovery, node: Node
) -> Array:
    from inferstack.models.onnx.view import shape_of

    found = to_tensor(axes, shape, values.reshape(shape_of(axes)))
    if found is None:
        raise recovery.error(node, "has a mask in another order than its scores")
    return found


def _biased(
    recovery: Recovery, made: Stored, form: MaskForm, terms: list[Term], node: Node
) -> Stored:
    """Scores with the numbers that are added to them: relative positions, slopes, or any."""
    import numpy as np

    bias = form.bias
    assert bias is not None, "asked for where there is one"
    seen = _pattern(form, made.shape)
    table = _buckets(recovery, made.shape, bias, seen, terms)
    if table is not None:
        name, says = table
        inputs = {"x": made.name, "table": recovery.declare(recovery.constant(name))}
        return recovery.write("position_bias", f"{node.name}.bias", inputs, says)
    if _is_alibi(made.shape, bias, seen):
        return recovery.write("alibi", f"{node.name}.alibi", {"x": made.name})
    data = bias.astype(np.float32)
    name = recovery.name(f"{node.name}.added")
    recovery.builder.tensor(name, data.shape, DType.FLOAT32, TensorRole.CONSTANT, data)
    return recovery.write("add", f"{node.name}.add", {"a": made.name, "b": name})


def _pattern(form: MaskForm, shape: tuple[int, ...]) -> Array:
    import numpy as np

    tokens, context = shape[2:]
    if not form.causal:
        return np.ones((tokens, context), dtype=np.bool_)
    return np.tri(tokens, context, context - tokens, dtype=np.bool_)


def _buckets(
    recovery: Recovery, shape: tuple[int, ...], bias: Array, seen: Array, terms: list[Term]
) -> tuple[str, dict[str, Attribute]] | None:
    """The table of relative positions that gives this bias."""
    import numpy as np

    from inferstack.ops.position_bias import RULE

    heads = shape[1]
    zeros = np.zeros((1, *shape[1:]))
    for table in recovery.tables((t.added for t in terms if t.added), heads):
        values = recovery.program.value(table).astype(np.float64)
        for longest in LOGARITHMIC:
            for both_ways in (True, False):
                says: dict[str, Attribute] = {"longest": longest, "both_ways": both_ways}
                made = RULE.reference({"x": zeros, "table": values}, says)[0]
                if np.allclose(np.where(seen, made, 0), np.where(seen, bias, 0), atol=1e-5):
                    return table, says
    return None


def _is_alibi(shape: tuple[int, ...], bias: Array, seen: Array) -> bool:
    import numpy as np

    from inferstack.ops.alibi import RULE

    made = RULE.reference({"x": np.zeros((1, *shape[1:]))}, {})[0]
    # A row's softmax is the same whatever is added to all of the row.
    last = np.arange(shape[3])[None, :] == (np.arange(shape[2]) + shape[3] - shape[2])[:, None]
    own = np.where(seen, bias - (bias * last).sum(axis=-1, keepdims=True), 0)
    return bool(np.allclose(np.where(seen, made, 0), own, atol=1e-4))


OPERATORS = {"Softmax": softmax}
