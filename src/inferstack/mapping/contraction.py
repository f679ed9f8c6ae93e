"""`Contraction`: what the mapper needs of an operator, and nothing else.

Made by `contraction(graph, operator)` from the rule's iteration space. Two operators with equal
`signature` have the same mappings at the same cost, and are searched once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from inferstack.core.errors import InputError
from inferstack.hardware.accelerator import Accelerator, Role
from inferstack.ir.graph import Graph, Operator, Work
from inferstack.mapping.epilogue import NO_EPILOGUE, ROW_FACTOR_BITS, Epilogue
from inferstack.ops.distinct import Terms, distinct, distinct_inside
from inferstack.ops.registry import rule_for, rules
from inferstack.ops.rule import OUTPUT, Affine, points_with_place

MATMUL_DIMS = ("m", "n", "k")
BIAS = "bias"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """A tensor of a contraction. bits: of one element in DRAM; for the output, of the final result.

    indices: one affine index per axis, as in the iteration space. origin: the level that it comes
    from, or goes to, where that is not the outermost: a neighbour left it on the chip.
    """

    slot: str
    role: Role
    indices: tuple[Affine, ...]
    bits: int
    origin: str | None = None

    @property
    def dims(self) -> frozenset[str]:
        """The dimensions that move this operand."""
        return frozenset(name for index in self.indices for name, _ in index.terms)

    def home(self, accelerator: Accelerator) -> int:
        """The place of its origin among the levels of a machine, 0 for the outermost."""
        return 0 if self.origin is None else accelerator.index(self.origin)

    def results(self, extents: dict[str, int]) -> int:
        """Elements of an output that leave for its home: DRAM takes no padding."""
        return self.stored(extents) if self.origin is None else self.elements(extents)

    def elements(self, chunk: dict[str, int]) -> int:
        """Distinct elements that a chunk (extent by dimension) touches, zeros of padding included:
        what it takes on the chip."""
        return math.prod(distinct(_sized(index, chunk)) for index in self.indices)

    def stored(self, extents: dict[str, int]) -> int:
        """Distinct elements of the tensor that all loops touch: what its home holds of it."""
        return math.prod(
            distinct(_sized(index, extents))
            if index.size is None
            else distinct_inside(_sized(index, extents), index.offset, index.size)
            for index in self.indices
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Contraction:
    """A sum of products over a box of loops, and what follows it on its way out.

    dims: (name, extent). operands: input, weight, output. bias_bits: width of the values, one for
    each n (and each group g of a convolution), that the outputs start from; None without them.
    row_factor_bits: width of the factor that each row of m is multiplied by on its way out (integer
    attention context); 0 without. epilogue: operators fused to it.
    """

    name: str
    dims: tuple[tuple[str, int], ...]
    reductions: frozenset[str]
    operands: tuple[Operand, ...]
    bias_bits: int | None = None
    row_factor_bits: int = 0
    epilogue: Epilogue = NO_EPILOGUE

    @property
    def extents(self) -> dict[str, int]:
        """Extent by dimension."""
        return dict(self.dims)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those left out that have no place in the result."""
        return points_with_place(self.extents, self.by_role(Role.OUTPUT).indices)

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal for contractions with the same mappings at the same cost."""
        epilogue = replace(self.epilogue, names=())
        shape = (self.dims, self.reductions, self.operands)
        return (*shape, self.bias_bits, self.row_factor_bits, epilogue)

    @property
    def finished(self) -> Contraction:
        """The same with the width that the result has behind what follows."""
        if self.epilogue.output_bits is None:
            return self
        operands = tuple(
            replace(operand, bits=self.epilogue.output_bits)
            if operand.role is Role.OUTPUT
            else operand
            for operand in self.operands
        )
        return replace(self, operands=operands)

    def inner_tile(self, chunk: dict[str, int]) -> Contraction:
        """The same over a chunk of the loops, none of whose cut sides is an edge of the tensor."""

        def beside(index: Affine) -> Affine:
            whole = all(chunk[name] == self.extents[name] for name, _ in index.terms)
            return index if whole else replace(index, size=None)

        return replace(
            self,
            dims=tuple((name, chunk[name]) for name, _ in self.dims),
            operands=tuple(
                replace(operand, indices=tuple(map(beside, operand.indices)))
                for operand in self.operands
            ),
        )

    def by_role(self, role: Role) -> Operand:
        """The input, the weight or the output."""
        return next(operand for operand in self.operands if operand.role is role)

    def operand(self, slot: str) -> Operand:
        """The operand of that slot."""
        return next(operand for operand in self.operands if operand.slot == slot)

    @property
    def batch_dims(self) -> tuple[tuple[str, int], ...]:
        """The dimensions other than m, n and k: batch, heads."""
        return tuple((name, extent) for name, extent in self.dims if name not in MATMUL_DIMS)

    @property
    def batch(self) -> int:
        """Number of matrix products."""
        return math.prod(extent for _, extent in self.batch_dims)

    @property
    def weight_transposed(self) -> bool:
        """Whether the weight's rows in DRAM run along a reduction dimension (n x k)."""
        last = self.by_role(Role.WEIGHT).indices[-1]
        return last.terms[-1][0] in self.reductions

    @property
    def compulsory_bytes(self) -> int:
        """Of DRAM: operands that are there read once, a result that goes there written once."""
        total = sum(
            -(-operand.stored(self.extents) * operand.bits // 8)
            for operand in self.operands
            if operand.origin is None
        )
        if self.bias_bits is not None:
            total += self.bias_elements * self.bias_bits // 8
        if self.row_factor_bits:
            total += self.rows * self.row_factor_bits // 8
        return total

    @property
    def rows(self) -> int:
        """Rows of all matrix products."""
        return self.batch * self.extents["m"]

    @property
    def bias_elements(self) -> int:
        """Values of a bias."""
        return self.extents["n"] * self.extents.get("g", 1)


def _sized(index: Affine, chunk: dict[str, int]) -> Terms:
    return tuple((coefficient, chunk[name]) for name, coefficient in index.terms)


def is_contraction(operator: Operator) -> bool:
    """Whether the array computes the operator."""
    return rule_for(operator).work is Work.MATMUL


def contraction(graph: Graph, operator: Operator) -> Contraction:
    """The contraction of an operator that an array computes: matmuls, attention's products,
    convolutions, experts.

    A convolution's input is an affine access; each tile fetches its halo again. Zeros of the
    padding take room on the chip, and are made there. Raises InputError for other kinds.
    """
    if not is_contraction(operator):
        raise InputError(
            f"operator {operator.name}", "is no contraction: it has no mapping", got=operator.kind,
            need=", ".join(kind for kind, rule in rules().items() if rule.work is Work.MATMUL),
        )  # fmt: skip
    rule, tensors, result = rule_for(operator), graph.operands(operator), graph.result(operator)
    space = rule.space(tensors, result, operator.attributes)
    first, second = rule.required[:2]
    roles = {first: Role.INPUT, second: Role.WEIGHT, OUTPUT: Role.OUTPUT}
    operands = tuple(
        Operand(
            slot=slot,
            role=role,
            indices=space.access(slot).indices,
            bits=(result if slot == OUTPUT else tensors[slot]).dtype.bits,
        )
        for slot, role in roles.items()
    )
    return Contraction(
        name=operator.name,
        dims=space.dims,
        reductions=space.reductions,
        operands=operands,
        bias_bits=tensors[BIAS].dtype.bits if BIAS in tensors else None,
        row_factor_bits=ROW_FACTOR_BITS if space.divides_rows else 0,
    )
