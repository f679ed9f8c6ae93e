"""The graph: tensors, operators, and the rules that every graph obeys."""

from inferstack.ir.graph import Graph, Operator, Tensor, TensorRole, Work

__all__ = ["Graph", "Operator", "Tensor", "TensorRole", "Work"]
