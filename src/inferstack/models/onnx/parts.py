"""Which part of a model an operator belongs to, by what stands around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from inferstack.ir.graph import Operator, Tensor
from inferstack.models.blocks import ATTENTION, EMBEDDING, FEED_FORWARD, HEAD, OTHER, PROJECTION
from inferstack.models.resnet import BATCHNORM, CONVOLUTION, RELU

BY_KIND = {
    "attention_scores": ATTENTION,
    "attention_context": ATTENTION,
    "embedding": EMBEDDING,
    "position_embedding": EMBEDDING,
    "conv2d": CONVOLUTION,
    "batchnorm": BATCHNORM,
}
BETWEEN = frozenset(
    {"rotary", "append_cache", "rmsnorm", "layernorm", "scale", "clip", "concatenate", "join_heads"}
)
"""May stand between a projection and the attention."""
AT_FIRST = frozenset({"embedding", "position_embedding", "add", "scale", "layernorm", "rmsnorm",
                      "to_tokens", "prepend"})  # fmt: skip
"""Of operators in front of the first matmul, those that make embeddings."""


def with_parts(
    operators: list[Operator], tensors: Mapping[str, Tensor], outputs: tuple[str, ...]
) -> list[Operator]:
    """The operators, each with its part."""
    makers = {operator.output: operator for operator in operators}
    readers: dict[str, list[Operator]] = {}
    for operator in operators:
        for name in operator.inputs.values():
            readers.setdefault(name, []).append(operator)
    attends = any(o.kind == "attention_scores" for o in operators)
    projections = _projections(operators, makers, readers)
    first = next(
        (n for n, o in enumerate(operators) if o.kind in ("matmul", "attention_scores")), 0
    )
    last = max((n for n, o in enumerate(operators) if o.kind == "attention_context"), default=0)
    found = []
    for number, operator in enumerate(operators):
        part = BY_KIND.get(operator.kind, OTHER)
        if operator.output in projections:
            part = PROJECTION
        elif operator.kind == "matmul" and attends:
            # Behind the last feed-forward's residual nothing but a head is left.
            ends = number > last and not _adds_behind(operator, readers)
            part = HEAD if ends and not _narrows(operator, makers) else FEED_FORWARD
        elif operator.kind == "conv2d" and attends:
            part = EMBEDDING
        elif operator.kind == "relu" and not attends:
            part = RELU
        elif attends and number < first and operator.kind in AT_FIRST:
            part = EMBEDDING
        found.append(replace(operator, part=part))
    return found


def _projections(
    operators: list[Operator], makers: Mapping[str, Operator], readers: Mapping[str, list[Operator]]
) -> set[str]:
    """The matmuls that make queries, keys and values, and those behind the attention."""
    found = set()
    waiting = []
    for operator in operators:
        if operator.kind == "attention_scores":
            waiting += [operator.inputs["query"], operator.inputs["key"]]
        if operator.kind == "attention_context":
            waiting.append(operator.inputs["value"])
            found |= {r.output for r in readers.get(operator.output, []) if r.kind == "matmul"}
    while waiting:
        made = makers.get(waiting.pop())
        if made is not None and made.kind == "matmul":
            found.add(made.output)
        elif made is not None and made.kind in BETWEEN:
            waiting += [made.inputs[slot] for slot in ("x", "a") if slot in made.inputs]
    return found


def _adds_behind(operator: Operator, readers: Mapping[str, list[Operator]]) -> bool:
    """Whether an activation or a residual follows: a feed-forward's own matmuls."""
    kinds = {"add", "gelu", "silu", "relu", "multiply", "layernorm", "rmsnorm"}
    return any(reader.kind in kinds for reader in readers.get(operator.output, []))


def _narrows(operator: Operator, makers: Mapping[str, Operator]) -> bool:
    """Whether it reads what an activation made."""
    made = makers.get(operator.inputs["a"])
    return made is not None and made.kind in ("gelu", "silu", "relu", "multiply")
