"""Tensor, Operator, Graph: immutable, with static shapes. `ops` says what operators mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from inferstack.core.dtypes import DType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Attribute = int | float | bool | str | tuple[int, ...] | tuple[float, ...]


class TensorRole(StrEnum):
    """What a tensor is to the model."""

    INPUT = "input"
    WEIGHT = "weight"
    CONSTANT = "constant"
    """Integer tables that compression adds: requantization multipliers and shifts."""
    ACTIVATION = "activation"
    CACHE = "cache"
    """Keys and values of earlier tokens."""


class Work(StrEnum):
    """The kind of work an operator is, by which time is accounted (survey Fig. 14)."""

    MATMUL = "matmul"
    SOFTMAX = "softmax"
    NORM = "norm"
    ACTIVATION = "activation"
    RESIDUAL_ADD = "residual add"
    QUANTIZATION = "(de)quantization"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tensor:
    """A named array with a static shape.

    data: the values, for weights and constants; None in a shape-only graph and for activations.
    scale: for integer tensors, what one unit is worth: real = scale * integer. float64, of shape
        () or (shape[-1],) for one scale per channel of the last axis.
    row_scale: of an integer matrix whose rows have units too, into which those of the activations
        before it are folded: real[i, j] = row_scale[i] * scale[j] * integer[i, j]. (shape[0],).
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    role: TensorRole = TensorRole.ACTIVATION
    data: npt.NDArray[Any] | None = field(default=None, repr=False)
    scale: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    row_scale: npt.NDArray[np.float64] | None = field(default=None, repr=False)

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole tensor, packed."""
        return self.dtype.size_bytes(self.elements)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operator:
    """One operation: `kind` names its rule in `ops`, `inputs` maps slots to tensor names.

    part: the part of the model it belongs to, for tables: "attention projection", "attention",
        "feed-forward", "other", "embedding", "head", ...
    """

    name: str
    kind: str
    inputs: Mapping[str, str]
    output: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    part: str = "other"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """Operators in execution order over named tensors.

    inputs, outputs: tensor names, in the order of the model's signature.
    repeats: how many times an operator occurs in the model, where that is more than once: a graph
        for analysis holds one layer of each kind. A graph that is executed has no repeats.
    shared: the weights that all repeats of their operators have in common.
    """

    name: str
    tensors: Mapping[str, Tensor]
    operators: tuple[Operator, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    repeats: Mapping[str, int] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()

    def repeat(self, operator: Operator) -> int:
        """How many times the model holds `operator`."""
        return self.repeats.get(operator.name, 1)

    def copies(self) -> dict[str, int]:
        """How many of each tensor the model has: as many as of the operator that occurs most often
        among those that touch it, and one where they share it."""
        found = dict.fromkeys(self.tensors, 1)
        for operator in self.operators:
            for name in {*operator.inputs.values(), operator.output} - self.shared:
                found[name] = max(found[name], self.repeat(operator))
        return found

    def operands(self, operator: Operator) -> dict[str, Tensor]:
        """The operator's input tensors by slot."""
        return {slot: self.tensors[name] for slot, name in operator.inputs.items()}

    def result(self, operator: Operator) -> Tensor:
        """The operator's output tensor."""
        return self.tensors[operator.output]

    def producer(self, tensor: str) -> Operator | None:
        """The operator that writes `tensor`; None for inputs and weights."""
        return next((op for op in self.operators if op.output == tensor), None)

    def consumers(self, tensor: str) -> tuple[Operator, ...]:
        """The operators that read `tensor`, in execution order."""
        return tuple(op for op in self.operators if tensor in op.inputs.values())
