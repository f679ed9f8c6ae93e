"""An operator of a decoder's graph as a step: its weights in place, ready for any position.

The graph is that of one step of decoding. What depends on the position stands in attributes and
shapes there; a step takes it from `Now`. A kind without a step of its own runs its reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from inferstack.generate import kernels
from inferstack.ir.graph import Graph, Operator
from inferstack.ops.alibi import alibi_slopes
from inferstack.ops.kernels import reference
from inferstack.ops.registry import rule_for
from inferstack.ops.rotary import cosine_sine, integer_angles, turned_by

Array = npt.NDArray[Any]
Values = dict[str, Array]
Attributes = Mapping[str, Any]


@dataclass(slots=True)
class Now:
    """A pass. position: of its first token. reach: tokens of the whole text, with later passes of
    the same prompt. angles: cosines and sines by what they depend on.
    """

    position: int
    tokens: int
    reach: int
    caches: Mapping[str, Array]
    given: Mapping[str, Array]
    angles: dict[object, tuple[Array, Array]] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """Tokens so far, with those of the pass."""
        return self.position + self.tokens


Step = Callable[[Values, Now], Array]
Frequencies = Callable[[int], tuple[float, ...]]
"""The angles per position of a rotary operator, for a sequence of that many tokens."""


def reference_step(graph: Graph, operator: Operator, context: int) -> Step:
    """Its reference, of integers where it has them; `first` moves on with the position. context:
    that of the graph."""
    rule = rule_for(operator)
    integers = rule.is_integer(graph.operands(operator), graph.result(operator))
    reference = rule.integer_reference if integers else rule.reference
    attributes: Attributes = operator.attributes
    slots = tuple(operator.inputs.items())
    first = attributes.get("first")
    skipped = None if first is None else int(first) - context

    def run(values: Values, now: Now) -> Array:
        inputs = {slot: values[name] for slot, name in slots}
        if skipped is None:
            return reference(inputs, attributes)
        return reference(inputs, {**attributes, "first": skipped + now.position})

    return run


def matmul_step(operator: Operator, constants: Values) -> Step:
    """With the weight as (outputs, inputs): each output then reads memory in order."""
    name, weight = operator.inputs["a"], constants[operator.inputs["b"]]
    rows = weight if operator.attributes.get("transpose_b") else weight.T
    rows = np.ascontiguousarray(rows)
    bias = constants[operator.inputs["bias"]] if "bias" in operator.inputs else None
    columns = rows.T

    def run(values: Values, now: Now) -> Array:
        x = values[name]
        if x.size == rows.shape[1] and x.dtype == rows.dtype:
            product = np.empty((*x.shape[:-1], len(rows)), dtype=x.dtype)
            kernels.multiply_rows(rows, x.reshape(-1), product.reshape(-1))
        else:
            product = x @ columns
        if bias is not None:
            product += bias
        return product

    return run


def integer_matmul_step(operator: Operator, constants: Values) -> Step:
    """int8 weights as (outputs, inputs), once; exact, as the reference is."""
    names = {slot: name for slot, name in operator.inputs.items() if slot != "b"}
    weight = constants[operator.inputs["b"]]
    rows = np.ascontiguousarray(weight if operator.attributes.get("transpose_b") else weight.T)

    def run(values: Values, now: Now) -> Array:
        inputs = {slot: values[name] for slot, name in names.items()}
        x = inputs["a"]
        if x.size != rows.shape[1]:
            return reference.matmul({**inputs, "b": rows}, transpose_b=True)
        product = np.empty((*x.shape[:-1], len(rows)), dtype=np.int32)
        kernels.multiply_integer_rows(rows, x.reshape(-1), product.reshape(-1))
        return reference.finished(product, inputs)

    return run


def rms_norm_step(operator: Operator, constants: Values) -> Step | None:
    """For one gamma of all rows."""
    name, gamma = operator.inputs["x"], constants[operator.inputs["gamma"]]
    says: Attributes = operator.attributes
    epsilon = float(says["epsilon"])
    if gamma.ndim != 1:
        return None

    def run(values: Values, now: Now) -> Array:
        x = np.ascontiguousarray(values[name])
        out = np.empty_like(x)
        kernels.rms_norm(x.reshape(-1, len(gamma)), gamma, epsilon, out.reshape(-1, len(gamma)))
        return out

    return run


def append_step(operator: Operator) -> Step:
    """New rows behind the cached ones, in place; the result is a view."""
    name, cache = operator.inputs["x"], operator.inputs["cache"]

    def run(values: Values, now: Now) -> Array:
        whole = now.caches[cache]
        whole[:, now.position : now.end] = values[name]
        return whole[:, : now.end]

    return run


def rotary_step(operator: Operator, frequencies: Frequencies | None) -> Step:
    """Cosines and sines are made once in a pass for all layers that have the same angles.

    frequencies: where the operator's attributes give some, which may depend on the length.
    """
    name, integers = operator.inputs["x"], "cosine" in operator.inputs
    says: dict[str, Any] = dict(operator.attributes)
    heads = int(says["heads"])
    shared = (says["theta"], says.get("amplitude"), says.get("turned"))

    def run(values: Values, now: Now) -> Array:
        x = values[name]
        steps = None if frequencies is None else frequencies(now.reach)
        width = x.shape[2] // heads
        key = (steps, width, *shared)
        if key not in now.angles:
            asked = says if steps is None else {**says, "frequencies": steps}
            cosine, sine = cosine_sine(now.position, now.tokens, width, asked)
            if integers:
                now.angles[key] = (integer_angles(cosine), integer_angles(sine))
            else:
                now.angles[key] = (cosine.astype(x.dtype), sine.astype(x.dtype))
        cosine, sine = now.angles[key]
        if not integers:
            return turned_by(x, cosine, sine, says)
        inputs = {slot: values[name] for slot, name in operator.inputs.items()}
        return reference.rotary({**inputs, "cosine": cosine, "sine": sine}, says)

    return run


def attention_chain(graph: Graph, index: int) -> Sequence[Operator]:
    """The operators from the scores at `index` to their context, if one kernel does them all."""
    chain = [graph.operators[index]]
    if graph.result(chain[0]).dtype.is_integer:
        return ()
    for operator in graph.operators[index + 1 :]:
        slot = "probabilities" if operator.kind == "attention_context" else "x"
        last = chain[-1].output
        if operator.inputs.get(slot) != last or len(graph.consumers(last)) != 1:
            return ()
        chain.append(operator)
        if operator.kind == "attention_context":
            return chain
        causal = bool(operator.attributes.get("causal")) and "mask" not in operator.inputs
        if operator.kind not in ("softcap", "alibi") and not (
            operator.kind == "softmax" and causal
        ):
            return ()
        if operator.kind == "softcap" and chain[-2].kind != "attention_scores":
            return ()
    return ()


def attention_step(
    graph: Graph, chain: Sequence[Operator], constants: Values, context: int
) -> Step:
    """One kernel for one token; the references one after the other for several."""
    by_kind = {operator.kind: operator for operator in chain}
    scores, last = chain[0], chain[-1]
    query, key, value = scores.inputs["query"], scores.inputs["key"], last.inputs["value"]
    says: dict[str, Attributes] = {kind: one.attributes for kind, one in by_kind.items()}
    own = says["attention_scores"]
    heads, kv_heads = (int(own[name]) for name in ("heads", "kv_heads"))
    scale = float(own["scale"])
    window = int(says["softmax"].get("window", 0))
    cap = float(says["softcap"]["cap"]) if "softcap" in says else 0.0
    slopes = np.zeros(heads, dtype=np.float32)
    if "alibi" in says:
        factor = float(says["alibi"].get("scale", 1.0))
        slopes[:] = np.array(alibi_slopes(len(slopes))) * factor
    sinks = np.full(len(slopes), -np.inf, dtype=np.float32)
    if "sinks" in by_kind["softmax"].inputs:
        sinks[:] = constants[by_kind["softmax"].inputs["sinks"]]
    several = [(operator.output, reference_step(graph, operator, context)) for operator in chain]

    def run(values: Values, now: Now) -> Array:
        if now.tokens > 1:
            inner = dict(values)
            for name, step in several:
                inner[name] = step(inner, now)
            return inner[last.output]
        queries, keys, kept = values[query], values[key][0], values[value][0]
        out = np.empty((1, 1, kept.shape[1] // kv_heads * heads), dtype=np.float32)
        kernels.attend(
            np.ascontiguousarray(queries).reshape(-1),
            keys,
            kept,
            (heads, kv_heads, max(now.end - window, 0) if window else 0),
            scale,
            cap,
            slopes,
            sinks,
            np.empty(now.end, dtype=np.float32),
            out.reshape(-1),
        )
        return out

    return run
