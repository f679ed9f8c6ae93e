"""`GraphBuilder`: adds operators one by one; shapes and types follow from the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Attribute, Graph, Operator, Tensor, TensorRole
from inferstack.ops.registry import rule_for
from inferstack.ops.verify import verify

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FED = (TensorRole.INPUT, TensorRole.CACHE)
"""Roles of the tensors that come from outside at each pass."""


class GraphBuilder:
    """Collects tensors and operators; `build` verifies and freezes them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: dict[str, Tensor] = {}
        self.operators: list[Operator] = []
        self.repeats: dict[str, int] = {}
        self.shared: set[str] = set()

    @classmethod
    def of(cls, graph: Graph) -> GraphBuilder:
        """What is added stands behind the operators of `graph`."""
        made = cls(graph.name)
        made.tensors |= graph.tensors
        made.operators += graph.operators
        made.repeats |= graph.repeats
        made.shared |= graph.shared
        return made

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: DType,
        role: TensorRole,
        data: npt.NDArray[Any] | None = None,
        scale: npt.NDArray[np.float64] | None = None,
    ) -> str:
        """Declare an input, weight, constant or cache; returns its name."""
        return self.declare(
            Tensor(name=name, shape=shape, dtype=dtype, role=role, data=data, scale=scale)
        )

    def declare(self, tensor: Tensor) -> str:
        """Add a ready tensor; returns its name."""
        assert tensor.name not in self.tensors, f"tensor {tensor.name} is declared twice"
        self.tensors[tensor.name] = tensor
        return tensor.name

    def add(
        self,
        kind: str,
        name: str,
        inputs: Mapping[str, str],
        attributes: Mapping[str, Attribute] | None = None,
        *,
        part: str = "other",
        repeats: int = 1,
        scale: npt.NDArray[np.float64] | None = None,
    ) -> str:
        """Append an operator whose output tensor has the operator's name; returns that name.

        scale: for an integer output, what one unit is worth.
        """
        operator = Operator(
            name=name,
            kind=kind,
            inputs=dict(inputs),
            output=name,
            attributes=dict(attributes or {}),
            part=part,
        )
        operands = {slot: self.tensors[tensor] for slot, tensor in inputs.items()}
        rule = rule_for(operator)
        rule.need(
            set(rule.required) <= set(operands) <= {*rule.required, *rule.optional},
            name,
            sorted(operands),
            f"inputs {rule.required}, optionally {rule.optional}",
        )
        shape, dtype = rule.infer(operands, operator.attributes)
        self.declare(Tensor(name=name, shape=shape, dtype=dtype, scale=scale))
        self.operators.append(operator)
        if repeats != 1:
            self.repeats[name] = repeats
        return name

    def build(self, outputs: tuple[str, ...]) -> Graph:
        """The verified graph."""
        graph = Graph(
            name=self.name,
            tensors=dict(self.tensors),
            operators=tuple(self.operators),
            inputs=tuple(name for name, t in self.tensors.items() if t.role in FED),
            outputs=outputs,
            repeats=dict(self.repeats),
            shared=frozenset(self.shared),
        )
        verify(graph)
        return graph
